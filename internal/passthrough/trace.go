package passthrough

import (
	"net/http"
	"strconv"
	"time"

	"zitadel-v1-adapter/internal/tracing"
)

// Of what passes through, spans tell the HTTP method and the status alone: paths may hold
// ids, and queries anything.

// served begins the span of a request that came in at a time, unless it has one: it is a v1
// call then. The request is the one to go on with.
func (h *Handler) served(r *http.Request, came time.Time) (*http.Request, *tracing.Span) {
	if h.tracer == nil || tracing.IsServed(r.Context()) {
		return r, nil
	}
	ctx, span := h.tracer.Serve(r.Context(), r.Header, tracing.RequestName(r.Method), came)
	span.HTTPMethod(r.Method)
	return r.WithContext(ctx), span
}

// endServed ends the span of a request that was answered with this HTTP status, 0 if the
// client left before, and whether the answer is whole.
func endServed(span *tracing.Span, httpStatus int, isWhole bool) {
	span.HTTPStatus(httpStatus)
	switch {
	case !isWhole:
		span.Fail(cut)
	case httpStatus >= http.StatusInternalServerError:
		span.Fail(strconv.Itoa(httpStatus))
	}
	span.End()
}

// cut is the error type of an answer that broke off: by ZITADEL, or because the client left.
const cut = "cut"

// called begins the span of what goes to ZITADEL for a request.
func (h *Handler) called(r *http.Request) *tracing.Span {
	if h.tracer == nil {
		return nil
	}
	_, span := h.tracer.Call(r.Context(), tracing.RequestName(r.Method), h.upstream.Base())
	span.HTTPMethod(r.Method)
	return span
}

// endCalled ends the span of what went to ZITADEL. If fail has not answered, the HTTP status
// is ZITADEL's.
func endCalled(span *tracing.Span, httpStatus int, isWhole bool) {
	if span == nil {
		return
	}
	if !span.HasFailed() {
		span.HTTPStatus(httpStatus)
		switch {
		case !isWhole:
			span.Fail(cut)
		case httpStatus >= http.StatusBadRequest:
			span.Fail(strconv.Itoa(httpStatus))
		}
	}
	span.End()
}
