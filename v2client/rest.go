package v2client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"zitadel-v1-adapter/internal/rpcstatus"
)

// restCall makes a call of ZITADEL's REST API that only reads, and reads the answer's
// JSON.
func (c *Client) restCall(ctx context.Context, caller Caller, name, method, path, body string, into any) error {
	answer, err := do(ctx, c, operation{name, read}, caller, func(ctx context.Context, to target) (*[]byte, error) {
		status, answer, err := c.rest(ctx, caller, to, method, path, body)
		if err == nil && status != http.StatusOK {
			err = newGatewayError(status, answer)
		}
		return &answer, err
	})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(*answer, into); err != nil {
		return newUnavailableError(fmt.Errorf("%s answered no JSON", path))
	}
	return nil
}

// maxRESTBytes bounds what is read of a REST answer. Userinfo may hold all of a user's
// metadata.
const maxRESTBytes = 1 << 20

// rest makes a REST call for a caller, with a JSON body unless that is "", and reads the
// answer.
func (c *Client) rest(ctx context.Context, caller Caller, to target, method, path, body string) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header = c.header(caller, to)
	delete(request.Header, "Host") // which is a field in net/http
	if body != "" {
		request.Header["Content-Type"] = []string{"application/json"}
	}
	request.Host = to.host
	response, err := c.service().transport.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxRESTBytes))
	if err == nil && len(answer) == maxRESTBytes {
		err = connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%s answered %d bytes or more", request.URL.Path, maxRESTBytes))
	}
	return response.StatusCode, answer, err
}

// gatewayError is an error that ZITADEL's grpc-gateway answered: google.rpc.Status in
// JSON, whose code belongs to the HTTP status.
type gatewayError struct {
	code    connect.Code
	message string
	details []*anypb.Any
	// missing says that there is nothing at the path.
	missing bool
	// foreign says that the answer was not ZITADEL's.
	foreign bool
}

func (e *gatewayError) Error() string { return e.message }

// newGatewayError reads an answer that is not 200. What is not ZITADEL's is an error of
// the transport, but for those by which a gateway says that it leads nowhere.
func newGatewayError(httpStatus int, body []byte) error {
	var status struct {
		Code    uint32            `json:"code"`
		Message string            `json:"message"`
		Details []json.RawMessage `json:"details"`
	}
	err := json.Unmarshal(body, &status)
	code := connect.Code(status.Code)
	if err != nil || code == 0 || rpcstatus.HTTPStatus(code) != httpStatus {
		if httpStatus == http.StatusNotFound || httpStatus == http.StatusNotImplemented {
			return &gatewayError{code: connect.CodeUnimplemented, message: fmt.Sprintf("answered HTTP %d", httpStatus), missing: true, foreign: true}
		}
		return fmt.Errorf("answered HTTP %d, and not as ZITADEL does", httpStatus)
	}
	failure := &gatewayError{code: code, message: status.Message}
	for _, printed := range status.Details {
		var detail anypb.Any
		if protojson.Unmarshal(printed, &detail) == nil {
			failure.details = append(failure.details, &detail)
		}
	}
	failure.missing = len(status.Details) == 0 && (code == connect.CodeUnimplemented || code == connect.CodeNotFound && status.Message == "Not Found")
	return failure
}
