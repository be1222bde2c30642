package v2client

import (
	"context"
	"errors"
	"slices"

	"connectrpc.com/connect"

	filterv2 "zitadel-v1-adapter/gen/zitadel/filter/v2"
	permissionv2 "zitadel-v1-adapter/gen/zitadel/internal_permission/v2"
	"zitadel-v1-adapter/gen/zitadel/internal_permission/v2/internal_permissionv2connect"
	"zitadel-v1-adapter/v2client/internal/guard"
)

// administratorsPage is ZITADEL's default, and smallest possible maximum, for
// the number of results of one call.
const administratorsPage = 100

// maxAdministratorPages bounds a list that never ends.
const maxAdministratorPages = 100

// administrators lists a user's administrator roles, by as many ListAdministrators calls
// as it has pages: v2's, which ZITADEL has from v4.5 on, or else v2beta's, which it has
// from v4.0 on. One's own roles may be listed without any permission.
func (c *Client) administrators(ctx context.Context, caller Caller, userID string) ([]*permissionv2.Administrator, error) {
	all, err := allPages(ctx, caller, userID, c.listAdministrators)
	if isMissing(err) {
		return allPages(ctx, caller, userID, c.listAdministratorsBeta)
	}
	return all, err
}

// listAdministrators makes one ListAdministrators call of either version.
type listAdministrators func(context.Context, Caller, *permissionv2.ListAdministratorsRequest) (*permissionv2.ListAdministratorsResponse, error)

func (c *Client) listAdministrators(ctx context.Context, caller Caller, message *permissionv2.ListAdministratorsRequest) (*permissionv2.ListAdministratorsResponse, error) {
	return rpc(ctx, c, caller, c.permissions, internal_permissionv2connect.InternalPermissionServiceClient.ListAdministrators, message)
}

func (c *Client) listAdministratorsBeta(ctx context.Context, caller Caller, message *permissionv2.ListAdministratorsRequest) (*permissionv2.ListAdministratorsResponse, error) {
	return rpc(ctx, c, caller, c.permissionsBeta, (*permissionServiceBeta).CallUnary, message)
}

// permissionServiceBeta calls what ListAdministrators was before v4.5, with the same messages.
type permissionServiceBeta = connect.Client[permissionv2.ListAdministratorsRequest, permissionv2.ListAdministratorsResponse]

func newPermissionServiceBeta(over connect.HTTPClient, base string, options ...connect.ClientOption) *permissionServiceBeta {
	const procedure = "/zitadel.internal_permission.v2beta.InternalPermissionService/ListAdministrators"
	return connect.NewClient[permissionv2.ListAdministratorsRequest, permissionv2.ListAdministratorsResponse](over, base+procedure, options...)
}

func allPages(ctx context.Context, caller Caller, userID string, list listAdministrators) ([]*permissionv2.Administrator, error) {
	var all []*permissionv2.Administrator
	for range maxAdministratorPages {
		response, err := list(ctx, caller, &permissionv2.ListAdministratorsRequest{
			Pagination: &filterv2.PaginationRequest{Offset: uint64(len(all)), Limit: administratorsPage},
			Filters: []*permissionv2.AdministratorSearchFilter{{
				Filter: &permissionv2.AdministratorSearchFilter_InUserIdsFilter{
					InUserIdsFilter: &filterv2.InIDsFilter{Ids: []string{userID}},
				},
			}},
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
	return nil, guard.NewUnavailableError(errors.New("ListAdministrators does not end"))
}

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

// ListsAdministrators tells which ListAdministrators ZITADEL has: "v2", "v2beta", or ""
// for none. A caller without a token is enough, and learns nothing else.
func (c *Client) ListsAdministrators(ctx context.Context, caller Caller) (version string, err error) {
	for _, each := range []struct {
		version string
		list    listAdministrators
	}{{"v2", c.listAdministrators}, {"v2beta", c.listAdministratorsBeta}} {
		_, err = allPages(ctx, caller, "0", each.list)
		switch failure, _ := errors.AsType[*Error](err); {
		case isMissing(err):
			continue
		case err == nil, failure != nil && failure.Origin == OriginZITADEL:
			return each.version, nil
		}
		return "", err
	}
	return "", nil
}
