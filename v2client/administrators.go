package v2client

import (
	"context"
	"errors"

	filterv2 "zitadel-v1-adapter/gen/zitadel/filter/v2"
	permissionv2 "zitadel-v1-adapter/gen/zitadel/internal_permission/v2"
)

// administrator is one of a user's administrator roles and where it holds.
type administrator struct {
	// instance is true for a role on the whole instance.
	instance bool
	// organizations for which the role counts: the resource's own, and the one that a
	// project is granted to.
	organizations []string
	// roles by ZITADEL's names, such as "ORG_OWNER".
	roles []string
}

// administratorsPage is ZITADEL's default, and smallest possible maximum, for
// the number of results of one call.
const administratorsPage = 100

// maxAdministratorPages bounds a list that never ends.
const maxAdministratorPages = 100

// administrators lists a user's administrator roles, by as many ListAdministrators calls
// as it has pages: v2's, which ZITADEL has from v4.5 on, or else v2beta's, which it has
// from v4.0 on. One's own roles may be listed without any permission.
func (c *Client) administrators(ctx context.Context, caller Caller, userID string) ([]administrator, error) {
	all, err := c.administratorsBy(ctx, caller, userID, (*service).listAdministrators)
	if isMissing(err) {
		return c.administratorsBy(ctx, caller, userID, (*service).listAdministratorsBeta)
	}
	return all, err
}

type listAdministrators = procedure[permissionv2.ListAdministratorsRequest, permissionv2.ListAdministratorsResponse]

func (c *Client) administratorsBy(ctx context.Context, caller Caller, userID string, list listAdministrators) ([]administrator, error) {
	var all []administrator
	for range maxAdministratorPages {
		response, err := unary(ctx, c, operation{"ListAdministrators", read}, caller, list, &permissionv2.ListAdministratorsRequest{
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
		for _, administrator := range page {
			all = append(all, newAdministrator(administrator))
		}
		if len(page) == 0 || uint64(len(all)) >= response.GetPagination().GetTotalResult() {
			return all, nil
		}
	}
	return nil, newUnavailableError(errors.New("ListAdministrators does not end"))
}

func newAdministrator(from *permissionv2.Administrator) administrator {
	to := administrator{instance: from.GetInstance(), roles: from.GetRoles()}
	for _, organization := range []string{
		from.GetOrganization().GetId(),
		from.GetProject().GetOrganizationId(),
		from.GetProjectGrant().GetOrganizationId(),
		from.GetProjectGrant().GetGrantedOrganizationId(),
	} {
		if organization != "" {
			to.organizations = append(to.organizations, organization)
		}
	}
	return to
}

// ListsAdministrators tells which ListAdministrators ZITADEL has: "v2", "v2beta", or ""
// for none. A caller without a token is enough, and learns nothing else.
func (c *Client) ListsAdministrators(ctx context.Context, caller Caller) (version string, err error) {
	for _, each := range []struct {
		version string
		list    listAdministrators
	}{{"v2", (*service).listAdministrators}, {"v2beta", (*service).listAdministratorsBeta}} {
		_, err = c.administratorsBy(ctx, caller, "0", each.list)
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
