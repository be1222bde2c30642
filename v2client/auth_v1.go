package v2client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	lru "github.com/hashicorp/golang-lru/v2"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"zitadel-v1-adapter/internal/rpcstatus"
)

// The two calls of the Auth API v1, over REST (recordings auth_v1_*.jsonl).
const (
	mePath          = "/auth/v1/users/me"
	permissionsPath = "/auth/v1/permissions/zitadel/me/_search"
)

// me is whose token the caller holds, of whatever kind the token is.
func (c *Client) me(ctx context.Context, caller Caller) (Identity, error) {
	var answer struct {
		User struct {
			ID      string `json:"id"`
			Details struct {
				ResourceOwner string `json:"resourceOwner"`
			} `json:"details"`
		} `json:"user"`
	}
	if err := c.authCall(ctx, caller, http.MethodGet, mePath, "", &answer); err != nil {
		return Identity{}, err
	}
	if answer.User.ID == "" || answer.User.Details.ResourceOwner == "" {
		return Identity{}, newUnavailableError(errors.New(mePath + " named no user or no organization"))
	}
	return Identity{UserID: answer.User.ID, Organization: answer.User.Details.ResourceOwner}, nil
}

// permissions is what the caller may do in the organization of the call, by the
// instance's own mapping of roles. A permission on single resources, such as
// "user.write:123", is one for native v1's check too.
func (c *Client) permissions(ctx context.Context, caller Caller) (Grant, error) {
	var answer struct {
		Result []string `json:"result"`
	}
	if err := c.authCall(ctx, caller, http.MethodPost, permissionsPath, "{}", &answer); err != nil {
		return GrantUnknown, err
	}
	grant := GrantNone
	for _, permission := range answer.Result {
		grant = max(grant, GrantOther)
		if name, _, _ := strings.Cut(permission, ":"); name == "user.write" {
			grant = GrantUserWrite
		}
	}
	return grant, nil
}

func (c *Client) authCall(ctx context.Context, caller Caller, method, path, body string, into any) error {
	answer, err := do(ctx, c, read, caller, func(ctx context.Context, to target) (*[]byte, error) {
		request, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		if body != "" {
			request.Header["Content-Type"] = []string{"application/json"}
		}
		status, answer, err := c.rest(caller, request, to)
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

// rest makes a REST call for a caller, and reads the answer.
func (c *Client) rest(caller Caller, request *http.Request, to target) (status int, body []byte, err error) {
	caller.addTo(request.Header)
	request.Header["User-Agent"] = []string{c.userAgent}
	request.Host = to.host
	response, err := c.service().transport.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxRESTBytes))
	if err == nil && len(body) == maxRESTBytes {
		err = connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%s answered %d bytes or more", request.URL.Path, maxRESTBytes))
	}
	return response.StatusCode, body, err
}

// gatewayError is an error that ZITADEL's grpc-gateway answered: google.rpc.Status in
// JSON, whose code belongs to the HTTP status.
type gatewayError struct {
	code    connect.Code
	message string
	details []*anypb.Any
	// missing says that there is nothing at the path.
	missing bool
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
			return &gatewayError{code: connect.CodeUnimplemented, message: fmt.Sprintf("answered HTTP %d", httpStatus), missing: true}
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

// authAPI remembers under which instances the Auth API v1 is gone, for a while: it may
// be a gateway's doing, and be undone.
type authAPI struct {
	gone *lru.Cache[string, time.Time] // until when it is not asked
	now  func() time.Time
}

const (
	authAPIEntries = 1000
	authAPIRetry   = 5 * time.Minute
)

func newAuthAPI() (*authAPI, error) {
	gone, err := lru.New[string, time.Time](authAPIEntries)
	return &authAPI{gone: gone, now: time.Now}, err
}

// expected reports whether a caller's instance is to be asked.
func (a *authAPI) expected(caller Caller) bool {
	until, known := a.gone.Get(caller.Instance())
	return !known || a.now().After(until)
}

// missing reports whether err says that the API is gone, and remembers it.
func (a *authAPI) missing(caller Caller, err error) bool {
	if !isMissing(err) {
		return false
	}
	a.gone.Add(caller.Instance(), a.now().Add(authAPIRetry))
	return true
}
