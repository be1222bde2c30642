package ingress

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// deadlines counts how often a read deadline is set.
type deadlines struct {
	*httptest.ResponseRecorder

	set int
}

func (d *deadlines) SetReadDeadline(time.Time) error {
	d.set++
	return nil
}

// A body may be read to its end by the transport when the handler has returned. Over
// HTTP/2, net/http has let go of the request by then: to touch it would end the program.
func TestBodyReadAfterTheEnd(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		x, request := newExchange(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}")), 0)
		x.LimitBody(time.Minute)
		if late {
			x.end()
		}
		if _, err := io.ReadAll(request.Body); err != nil {
			t.Error(err)
		}
		want := 2 // to set it, and to end it
		if late {
			want = 1
		}
		if w.set != want {
			t.Errorf("late %v: set %d times, want %d", late, w.set, want)
		}
	}
}
