package v2client

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"

	filterv2 "zitadel-v1-adapter/gen/zitadel/filter/v2"
	permissionv2 "zitadel-v1-adapter/gen/zitadel/internal_permission/v2"
	"zitadel-v1-adapter/gen/zitadel/internal_permission/v2/internal_permissionv2connect"
	"zitadel-v1-adapter/v2client/internal/guard"
	"zitadel-v1-adapter/v2client/internal/wire"
)

// ErrTokenRefused is the cause of an error by which userinfo refuses the token. OIDC's words are
// not those of ZITADEL's API: ask the API for them.
var ErrTokenRefused = errors.New("userinfo refused the token")

// userInfo asks OIDC's userinfo endpoint (OpenID Connect Core 1.0 section 5.3) whose token the
// caller holds. Before v2.63, it says so only if the token has the scope "openid".
func (c *Client) userInfo(ctx context.Context, caller Caller) (Identity, error) {
	var claims struct {
		Subject      string `json:"sub"`
		Organization string `json:"urn:zitadel:iam:user:resourceowner:id"`
		Locale       string `json:"locale"`
	}
	err := c.rest(ctx, caller, lookup{name: "userinfo", path: "/oidc/v1/userinfo", newError: newUserinfoError}, &claims)
	switch {
	case errors.Is(err, ErrTokenRefused):
		return c.ownSession(ctx, caller, err)
	case err == nil && claims.Subject == "":
		err = guard.NewUnavailableError(errors.New("userinfo answered no subject"))
	}
	return Identity{UserID: claims.Subject, Organization: claims.Organization, Language: claims.Locale}, err
}

func newUserinfoError(response *http.Response, body []byte) error {
	refusals := []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden}
	isPage := bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) // of a proxy in front of ZITADEL
	if slices.Contains(refusals, response.StatusCode) && !isPage {
		return connect.NewWireError(connect.CodeUnauthenticated, ErrTokenRefused)
	}
	return wire.NewAnswerError(response, body)
}

// ownSession asks ListSessions of session service v2 whose session token the caller holds, which
// userinfo has refused. Without a role that may read sessions, a user sees those of its own.
// A caller who sees more than one stays unknown, and so does every JSON Web Token: a system user's
// is one, and may see the one session of somebody else.
func (c *Client) ownSession(ctx context.Context, caller Caller, refused error) (Identity, error) {
	var answer struct {
		Sessions []struct {
			Factors struct {
				User struct {
					ID             string `json:"id"`
					OrganizationID string `json:"organizationId"`
				} `json:"user"`
			} `json:"factors"`
		} `json:"sessions"`
	}
	const dotsOfJWT = 2
	if strings.Count(caller.Authorization(), ".") == dotsOfJWT {
		return Identity{}, refused
	}
	err := c.rest(ctx, caller, lookup{name: "sessions", path: "/v2/sessions/search", body: `{"query":{"limit":2}}`}, &answer)
	switch failure, ok := errors.AsType[*Error](err); {
	case ok && failure.Origin != OriginZITADEL && !failure.Missing:
		return Identity{}, err
	case err != nil, len(answer.Sessions) != 1, answer.Sessions[0].Factors.User.ID == "":
		return Identity{}, refused
	}
	user := answer.Sessions[0].Factors.User
	return Identity{UserID: user.ID, Organization: user.OrganizationID}, nil
}

// authorizeByV2 judges the caller's administrator roles by Config.UserWriters.
func (c *Client) authorizeByV2(ctx context.Context, caller Caller, identity Identity) (Grant, Identity, error) {
	var err error
	if identity.UserID == "" {
		if identity, err = c.userInfo(ctx, caller); err != nil {
			return GrantUnknown, identity, err
		}
	}
	if caller.Organization() == "" && identity.Organization == "" {
		if identity.Organization, err = c.UserOrganization(ctx, caller, identity.UserID); err != nil {
			return GrantUnknown, identity, err
		}
	}
	organization := cmp.Or(caller.Organization(), identity.Organization)
	administrators, _, err := c.administrators(ctx, caller, identity.UserID)
	switch {
	case isMissing(err):
		return GrantUnknown, identity, nil
	case err != nil:
		return GrantUnknown, identity, err
	}
	grant := GrantNone
	for _, administrator := range administrators {
		switch roles := administrator.GetRoles(); {
		case len(roles) == 0 || !countsIn(organization, administrator):
		case slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(c.userWriters, role) }):
			grant = GrantUserWrite
		default:
			grant = max(grant, GrantOther)
		}
	}
	return grant, identity, nil
}

// DefaultUserWriters are the roles with user.write in ZITADEL's default mapping of roles to permissions.
func DefaultUserWriters() []string {
	return []string{"IAM_OWNER", "IAM_ORG_MANAGER", "IAM_USER_MANAGER", "IAM_LOGIN_CLIENT", "ORG_OWNER", "ORG_USER_MANAGER"}
}

// ListsAdministrators tells which ListAdministrators ZITADEL has: "v2", "v2beta", or "" for
// none. A caller without a token is enough, and learns nothing else.
func (c *Client) ListsAdministrators(ctx context.Context, caller Caller) (version string, err error) {
	_, version, err = c.administrators(ctx, caller, "0")
	switch failure, ok := errors.AsType[*Error](err); {
	case isMissing(err):
		return "", nil
	case err == nil, ok && failure.Origin == OriginZITADEL:
		return version, nil
	}
	return "", err
}

// administratorsPage is how many results a call asks for: ZITADEL's default, and smallest possible maximum.
const administratorsPage = 100

// administrators lists a user's administrator roles by the ListAdministrators that ZITADEL has:
// "v2" from v4.5 on, "v2beta" from v4.0 on. One's own roles may be listed without any permission.
func (c *Client) administrators(ctx context.Context, caller Caller, userID string) (all []*permissionv2.Administrator, version string, err error) {
	all, err = c.listAdministrators(ctx, caller, c.permissions, userID)
	if !isMissing(err) {
		return all, "v2", err
	}
	all, err = c.listAdministrators(ctx, caller, c.permissionsBeta, userID)
	return all, "v2beta", err
}

// listAdministrators makes as many ListAdministrators calls as the list has pages.
func (c *Client) listAdministrators(
	ctx context.Context, caller Caller, clients []*listClient, userID string,
) (all []*permissionv2.Administrator, err error) {
	ids := &permissionv2.AdministratorSearchFilter_InUserIdsFilter{InUserIdsFilter: &filterv2.InIDsFilter{Ids: []string{userID}}}
	for {
		response, err := rpc(ctx, c, caller, clients, (*listClient).CallUnary, &listRequest{
			Pagination: &filterv2.PaginationRequest{Offset: uint64(len(all)), Limit: administratorsPage},
			Filters:    []*permissionv2.AdministratorSearchFilter{{Filter: ids}},
		})
		if err != nil {
			return nil, err
		}
		page := response.GetAdministrators()
		all = append(all, page...)
		if len(page) == 0 || uint64(len(all)) >= response.GetPagination().GetTotalResult() {
			return all, nil
		}
	}
}

type (
	listRequest  = permissionv2.ListAdministratorsRequest
	listResponse = permissionv2.ListAdministratorsResponse
	listClient   = connect.Client[listRequest, listResponse]
)

// The procedures, with the same messages: from v4.5 on, and before.
const (
	listProcedure     = internal_permissionv2connect.InternalPermissionServiceListAdministratorsProcedure
	listProcedureBeta = "/zitadel.internal_permission.v2beta.InternalPermissionService/ListAdministrators"
)

// countsIn reports whether an administrator's roles count in an organization: those on the
// instance, on the organization, on a project of it, and on one that it grants or was granted.
func countsIn(organization string, administrator *permissionv2.Administrator) bool {
	return administrator.GetInstance() || organization != "" && slices.Contains([]string{
		administrator.GetOrganization().GetId(),
		administrator.GetProject().GetOrganizationId(),
		administrator.GetProjectGrant().GetOrganizationId(),
		administrator.GetProjectGrant().GetGrantedOrganizationId(),
	}, organization)
}
