package v2client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/v2client/internal/guard"
	"zitadel-v1-adapter/v2client/internal/wire"
)

// lookup is a call of ZITADEL's REST API that only reads: a POST if it has a body, else a GET.
type lookup struct {
	name, path string // the name is for spans and Attempts
	body       string // JSON
	// newError reads an answer that is not 200. Default: newRESTError.
	newError func(response *http.Response, body []byte) error
}

// maxRESTBytes bounds what is read of a REST answer. Userinfo may hold all of a user's metadata.
const maxRESTBytes = 1 << 20

// rest makes a look-up on a caller's behalf, and reads the JSON of its answer.
func (c *Client) rest(ctx context.Context, caller Caller, look lookup, into any) error {
	ctx, host, end, err := c.begin(ctx, caller)
	if err != nil {
		return err
	}
	defer end()
	header, method := make(http.Header), http.MethodGet
	caller.setHeader(header, c.userAgent, host)
	if look.body != "" {
		method = http.MethodPost
		header.Set("Content-Type", "application/json")
	}
	return c.guard.Do(ctx, guard.Call{Name: look.name, Method: method, Header: header}, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, method, c.upstream.Base().String()+look.path, strings.NewReader(look.body))
		if err != nil {
			return err
		}
		request.Header = header
		response, err := c.wires[c.protocol.active.Load()].Send(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		return look.read(response, into)
	})
}

func (l lookup) read(response *http.Response, into any) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxRESTBytes))
	switch {
	case err != nil:
		return err
	case len(body) == maxRESTBytes:
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%s answered %d bytes or more", l.path, maxRESTBytes))
	case response.StatusCode != http.StatusOK && l.newError != nil:
		return l.newError(response, body)
	case response.StatusCode != http.StatusOK:
		return newRESTError(response, body)
	case json.Unmarshal(body, into) != nil:
		return errors.New(l.path + " answered no JSON")
	}
	return nil
}

// newRESTError reads an answer that is not 200: google.rpc.Status, whose code belongs to the HTTP status.
func newRESTError(response *http.Response, body []byte) error {
	status, err := rpcstatus.ParseJSON(body)
	noRoute := status.Code == connect.CodeNotFound && status.Message == "Not Found" && len(status.Details) == 0
	switch {
	case response.StatusCode == http.StatusNotImplemented: // a gateway says that it leads nowhere
		return connect.NewWireError(connect.CodeUnimplemented, errors.New("answered HTTP 501"))
	case err != nil, rpcstatus.HTTPStatus(status.Code) != response.StatusCode, noRoute:
		return wire.NewAnswerError(response, body)
	}
	failure := connect.NewWireError(status.Code, errors.New(status.Message)) // the status itself would pass for v1's
	for _, detail := range status.ConnectError().Details() {
		failure.AddDetail(detail)
	}
	failure.Meta()["Retry-After"] = response.Header["Retry-After"]
	return failure
}
