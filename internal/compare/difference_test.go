package compare_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"zitadel-v1-adapter/internal/compare"
)

// changed changes the answers to v1 calls. change gets an answer without its body, and the
// body, and returns another.
func changed(native http.Handler, change func(*http.Response, string) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/management/") && !strings.Contains(r.URL.Path, ".management.v1.") {
			native.ServeHTTP(w, r)
			return
		}
		recorder := httptest.NewRecorder()
		native.ServeHTTP(recorder, r)
		for name, values := range recorder.Header() { // trailers may as well come as headers
			if plain, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
				recorder.Header()[plain] = values
				recorder.Header().Del(name)
			}
		}
		response := &http.Response{StatusCode: recorder.Code, Header: recorder.Header(), Request: r}
		body := change(response, recorder.Body.String())
		response.Header.Del("Content-Length")
		maps.Copy(w.Header(), response.Header)
		w.WriteHeader(response.StatusCode)
		_, _ = io.WriteString(w, body)
	})
}

// A native v1 that answers otherwise than the recorded one is found out, in the rows where
// it does.
func TestDifferencesAreFound(t *testing.T) {
	t.Parallel()
	set := func(name, value string) func(*http.Response, string) string {
		return func(response *http.Response, body string) string {
			if response.Header.Get(name) != "" {
				response.Header.Set(name, value)
			}
			return body
		}
	}
	in := func(old, instead string) func(*http.Response, string) string {
		return func(response *http.Response, body string) string {
			if message := response.Header.Get("Grpc-Message"); message != "" {
				response.Header.Set("Grpc-Message", strings.ReplaceAll(message, old, instead))
			}
			return strings.ReplaceAll(body, old, instead)
		}
	}
	for name, test := range map[string]struct {
		change   func(*http.Response, string) string
		protocol compare.Protocol
		what     string
		texts    []string // in the row
	}{
		"HTTP status": {func(response *http.Response, body string) string {
			if response.StatusCode == http.StatusUnauthorized {
				response.StatusCode = http.StatusForbidden
			}
			return body
		}, compare.REST, "no token", []string{"HTTP 403", "HTTP 401"}},
		"gRPC code":          {set("Grpc-Status", "2"), compare.GRPC, "no token", []string{"code 2 auth header missing", "code 16 auth header missing"}},
		"gRPC-Web code":      {set("Grpc-Status", "2"), compare.GRPCWeb, "empty password", []string{"code 2", "code 3"}},
		"message":            {in("auth header missing", "who are you?"), compare.REST, "no token", []string{"who are you?", "auth header missing"}},
		"gRPC message":       {in("auth header missing", "who are you?"), compare.GRPC, "no token", []string{"who are you?", "auth header missing"}},
		"error id":           {in("COMMAND-G8dh3", "COMMAND-3M0fs"), compare.REST, "user that does not exist", []string{"COMMAND-3M0fs", "COMMAND-G8dh3"}},
		"text without an id": {in("runes", "letters"), compare.REST, "empty password", []string{"letters", "runes"}},
		"details in JSON":    {in(`"id":"AUTH-7fs1e"`, `"id":"AUTH-00000"`), compare.REST, "token that does not exist", []string{"AUTH-00000", "details"}},
		"details over gRPC":  {set("Grpc-Status-Details-Bin", "CAk"), compare.GRPC, "user that does not exist", []string{"details"}},
		"Content-Type":       {set("Content-Type", "text/plain"), compare.REST, "empty body", []string{"Content-Type: text/plain", "Content-Type: application/json"}},
		"Cache-Control":      {set("Cache-Control", "private"), compare.GRPCWeb, "empty user id", []string{"Cache-Control: private", "no-store"}},
		"Vary":               {set("Vary", "Origin, Cookie"), compare.REST, "empty password", []string{"Vary: Origin, Cookie"}},
		"Www-Authenticate":   {set("Www-Authenticate", "Bearer"), compare.REST, "Authorization that is not Bearer", []string{"Www-Authenticate: Bearer"}},
		"other origins":      {set("Access-Control-Allow-Origin", "*"), compare.REST, "no token, from another origin", []string{"Access-Control-Allow-Origin: *"}},
		"odd header missing": {func(response *http.Response, body string) string {
			response.Header.Del("X-Robots-Tag")
			return body
		}, compare.GRPC, "no token", []string{"X-Robots-Tag: (not there)", "X-Robots-Tag: none"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, err := newWorld(t, func(native http.Handler) http.Handler { return changed(native, test.change) }).run(t)
			if err != nil {
				t.Fatal(err)
			}
			found := 0
			for _, row := range rows {
				if row.Protocol != test.protocol || row.What != test.what {
					continue
				}
				found++
				for _, each := range append(test.texts, `"differs"`) {
					if !strings.Contains(text(t, row), each) {
						t.Errorf("%q is not in %s", each, text(t, row))
					}
				}
			}
			if found == 0 {
				t.Errorf("no row %s %s", test.protocol, test.what)
			}
		})
	}
}

// Vary of a proxy that compresses is no difference of the adapter's.
func TestProxyThatCompressesIsKnown(t *testing.T) {
	t.Parallel()
	rows, err := newWorld(t, func(native http.Handler) http.Handler {
		return changed(native, func(response *http.Response, body string) string {
			if response.Header.Get("Vary") != "" {
				response.Header.Add("Vary", "Accept-Encoding")
			}
			return body
		})
	}).run(t)
	if err != nil {
		t.Fatal(err)
	}
	if got := rows[0]; got.Status != compare.Known || !strings.Contains(got.Reason, "a proxy in front of ZITADEL compresses") {
		t.Errorf("got %s, want it known", text(t, got))
	}
}

// Whatever a server sends back of what it was sent, no secret is told.
func TestSecretsAreNotTold(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	secrets := map[string]bool{token: true}
	password := regexp.MustCompile(`Aa1![A-Z2-7]+`)
	echo := func(native http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			mu.Lock()
			for _, each := range password.FindAllString(string(body), -1) {
				secrets[each] = true
			}
			mu.Unlock()
			changed(native, func(response *http.Response, _ string) string {
				sent := r.Header.Get("Authorization") + " " + strings.ToValidUTF8(string(body), "?")
				response.Header.Set("Vary", url.QueryEscape(r.Header.Get("Authorization")))
				if response.Header.Get("Grpc-Status") != "" {
					response.Header.Set("Grpc-Message", url.PathEscape(sent))
					return ""
				}
				return text(t, map[string]any{"code": 3, "message": sent})
			}).ServeHTTP(w, r)
		})
	}
	rows, err := newWorld(t, echo).run(t)
	all := text(t, rows)
	if err != nil {
		all += err.Error()
	}
	mu.Lock()
	defer mu.Unlock()
	if len(secrets) < 2 || !strings.Contains(all, "Bearer …") {
		t.Errorf("got %d secrets, want a password and the token, and a sign of them in %s", len(secrets), all)
	}
	for secret := range secrets {
		if strings.Contains(all, secret) {
			t.Errorf("%q is in %s", secret, all)
		}
	}
}
