package wiretest

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"zitadel-v1-adapter/v2client/v2test"
)

// jsonComma is a comma between two elements of the JSON that v1 answers with.
var jsonComma = regexp.MustCompile(`(["\]}0-9]),(["{])`)

// NewNativeV1Of returns a ZITADEL of a release: a NativeV1, whose REST answers are spelled as
// that release's build spells them, in front of a v2test.Server.
func NewNativeV1Of(tb testing.TB, fixture v2test.Fixture, release v2test.Release) (http.Handler, *v2test.Server) {
	tb.Helper()
	zitadel := NewZITADELOf(tb, fixture, v2test.Config{Release: release})
	native := NewNativeV1(tb, fixture, zitadel)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/management/v1/") {
			native.ServeHTTP(w, r)
			return
		}
		recorder := httptest.NewRecorder()
		native.ServeHTTP(recorder, r)
		maps.Copy(w.Header(), recorder.Header())
		if exposed := w.Header().Get("Access-Control-Expose-Headers"); exposed != "" && !release.SpeaksConnect() {
			w.Header().Set("Access-Control-Expose-Headers", "Location, Content-Length")
		}
		body := recorder.Body.String()
		if release == v2test.V42 || release == v2test.V258 { // as protobuf chose for v4.2.2 and v2.58.7
			body = jsonComma.ReplaceAllString(body, "$1, $2")
			body = strings.ReplaceAll(body, "proto: ", "proto:\u00a0")
		}
		w.WriteHeader(recorder.Code)
		_, _ = w.Write([]byte(body))
	}), zitadel
}
