package reference_test

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"

	"zitadel-v1-adapter/internal/v1api"
)

// The catalogue finds the method that grpc-gateway calls, if that is given the same patterns
// in the same order. The requests are those of all methods with segments exchanged, left
// out and added, so that many have several patterns, or none.
func TestCatalogueFindsWhatTheGatewayCalls(t *testing.T) {
	catalogue, err := v1api.Load()
	if err != nil {
		t.Fatal(err)
	}
	var called *v1api.Method
	gateway := runtime.NewServeMux() // no option that ZITADEL gives it is about routes
	var methods []*v1api.Method
	words := []string{"", "1", "a:b", "%2F", "%25", "%e4", ":", "*", "**"}
	for m := range catalogue.All() {
		if m.Pattern == "" || m.API == "assets" { // which gorilla/mux routes
			continue
		}
		methods = append(methods, m)
		words = append(words, segments(m)...)
		if err := gateway.HandlePath(m.Verb, m.Pattern, func(http.ResponseWriter, *http.Request, map[string]string) { called = m }); err != nil {
			t.Fatal(err)
		}
	}
	random, found := rand.New(rand.NewPCG(1, 2)), map[*v1api.Method]int{}
	for range 20_000 {
		m := methods[random.IntN(len(methods))]
		r := mutated(random, m, words)
		got, _ := catalogue.FindRequest(r, r.URL.Path)
		if got != nil && got.Name == v1api.Unknown {
			got = nil
		}
		verb := r.Method // which the gateway changes
		called = nil
		gateway.ServeHTTP(httptest.NewRecorder(), r)
		switch {
		case got == called:
			found[got]++
		case called == nil && verb == http.MethodPost && got.Verb == http.MethodGet && isAmbiguous(catalogue, r.URL.Path):
		default:
			t.Fatalf("%s %s %v: %+v, the gateway calls %+v", verb, r.URL, r.Header, got, called)
		}
	}
	t.Logf("%d of %d methods, %d requests without one", len(found)-1, len(methods), found[nil])
	if len(found) != len(methods) { // one is hidden by another, and nil is none
		t.Error("not all methods were called")
	}
}

// isAmbiguous says whether a form may be refused: with a GET and another verb for its path,
// the gateway looks at either first.
func isAmbiguous(catalogue *v1api.Catalogue, path string) bool {
	for _, verb := range []string{http.MethodDelete, http.MethodPut, http.MethodPatch} {
		if m, _ := catalogue.Find(verb, path); m.Name != v1api.Unknown {
			return true
		}
	}
	return false
}

func segments(m *v1api.Method) []string {
	all := strings.Split(m.Pattern[1:], "/")
	for i, segment := range all {
		if strings.HasPrefix(segment, "{") {
			all[i] = "1"
		}
	}
	return all
}

// mutated is a request for a method, which most often is changed.
func mutated(random *rand.Rand, m *v1api.Method, words []string) *http.Request {
	path, verb := segments(m), m.Verb
	word := func() string { return words[random.IntN(len(words))] }
	for range random.IntN(3) {
		switch at := 1 + random.IntN(len(path)-1); random.IntN(6) {
		case 0:
			path = append(path, word())
		case 1:
			path = path[:at+1]
		case 2:
			verb = []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"}[random.IntN(6)]
		default:
			path[at] = word()
		}
	}
	r := httptest.NewRequest(verb, "/"+strings.Join(path, "/"), http.NoBody)
	if random.IntN(4) == 0 {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Method = http.MethodPost
		if random.IntN(2) == 0 {
			r.Header.Set("X-HTTP-Method-Override", strings.ToLower(verb))
		}
	}
	return r
}
