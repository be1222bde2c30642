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
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/v2client/internal/guard"
	"zitadel-v1-adapter/v2client/internal/wire"
)

// lookup is a call of ZITADEL's REST API that only reads.
type lookup struct {
	name         string // in spans and Attempts
	method, path string
	body         string // JSON; "" is none
}

// maxRESTBytes bounds what is read of a REST answer. Userinfo may hold all of a user's
// metadata.
const maxRESTBytes = 1 << 20

// rest makes a look-up on a caller's behalf. read reads its answer, whatever the status.
func (c *Client) rest(ctx context.Context, caller Caller, look lookup, read func(response *http.Response, body []byte) error) error {
	ctx, host, end, err := c.begin(ctx, caller)
	if err != nil {
		return err
	}
	defer end()
	header := make(http.Header)
	caller.setHeader(header, c.userAgent, host)
	if look.body != "" {
		header.Set("Content-Type", "application/json")
	}
	return c.guard.Do(ctx, guard.Call{Name: look.name, Method: look.method, Header: header}, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, look.method, c.upstream.Base().String()+look.path, strings.NewReader(look.body))
		if err != nil {
			return err
		}
		request.Header = header
		response, err := c.protocols.current().http.Send(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(io.LimitReader(response.Body, maxRESTBytes))
		switch {
		case err != nil:
			return err
		case len(body) == maxRESTBytes:
			return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%s answered %d bytes or more", look.path, maxRESTBytes))
		}
		return read(response, body)
	})
}

// restJSON makes a look-up and reads the JSON of its answer.
func (c *Client) restJSON(ctx context.Context, caller Caller, look lookup, into any) error {
	return c.rest(ctx, caller, look, func(response *http.Response, body []byte) error {
		if response.StatusCode != http.StatusOK {
			return newRESTError(response, body)
		}
		if json.Unmarshal(body, into) != nil {
			return errors.New(look.path + " answered no JSON")
		}
		return nil
	})
}

// newRESTError reads an answer that is not 200. ZITADEL's grpc-gateway answers
// google.rpc.Status in JSON, whose code belongs to the HTTP status.
func newRESTError(response *http.Response, body []byte) error {
	var status struct {
		Code    uint32            `json:"code"`
		Message string            `json:"message"`
		Details []json.RawMessage `json:"details"`
	}
	err := json.Unmarshal(body, &status)
	code := connect.Code(status.Code)
	noRoute := code == connect.CodeNotFound && status.Message == "Not Found" && len(status.Details) == 0
	switch {
	case response.StatusCode == http.StatusNotImplemented: // a gateway says that it leads nowhere
		return connect.NewWireError(connect.CodeUnimplemented, errors.New("answered HTTP 501"))
	case err != nil, code == 0, rpcstatus.HTTPStatus(code) != response.StatusCode, noRoute:
		return wire.NewAnswerError(response, body)
	}
	failure := connect.NewWireError(code, errors.New(status.Message))
	for _, printed := range status.Details {
		var detail anypb.Any
		if protojson.Unmarshal(printed, &detail) != nil {
			continue
		}
		if known, err := connect.NewErrorDetail(&detail); err == nil {
			failure.AddDetail(known)
		}
	}
	failure.Meta()["Retry-After"] = response.Header["Retry-After"]
	return failure
}
