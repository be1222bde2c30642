package v2client

import (
	"context"
	"errors"

	filterv2 "zitadel-v1-adapter/gen/zitadel/filter/v2"
	permissionv2 "zitadel-v1-adapter/gen/zitadel/internal_permission/v2"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
)

// UserOrganization tells the id of the organization that a user belongs to, by one
// UserService.GetUserByID call. It never changes.
func (c *Client) UserOrganization(ctx context.Context, caller Caller, userID string) (string, error) {
	response, err := unary(ctx, c, read, caller, c.users.GetUserByID, &userv2.GetUserByIDRequest{UserId: userID})
	if err != nil {
		return "", err
	}
	organization := response.GetDetails().GetResourceOwner()
	if organization == "" {
		return "", newUnavailableError(errors.New("GetUserByID named no resource owner"))
	}
	return organization, nil
}

// Administrator is one of a user's administrator roles and where it holds.
type Administrator struct {
	// Instance is true for a role on the whole instance.
	Instance bool
	// Organizations for which the role counts: that of the resource, and for a
	// granted project the one it is granted to.
	Organizations []string
	// Roles by ZITADEL's names, such as "ORG_OWNER".
	Roles []string
}

// administratorsPage is ZITADEL's default, and smallest possible maximum, for
// the number of results of one call.
const administratorsPage = 100

// maxAdministratorPages bounds a list that never ends.
const maxAdministratorPages = 100

// Administrators lists a user's administrator roles, by as many
// InternalPermissionService.ListAdministrators calls as it has pages. One's own
// roles may be listed without any permission. ZITADEL before v4 answers
// CodeUnimplemented.
func (c *Client) Administrators(ctx context.Context, caller Caller, userID string) ([]Administrator, error) {
	var all []Administrator
	for range maxAdministratorPages {
		response, err := unary(ctx, c, read, caller, c.permissions.ListAdministrators, &permissionv2.ListAdministratorsRequest{
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

func newAdministrator(from *permissionv2.Administrator) Administrator {
	to := Administrator{Instance: from.GetInstance(), Roles: from.GetRoles()}
	for _, organization := range []string{
		from.GetOrganization().GetId(),
		from.GetProject().GetOrganizationId(),
		from.GetProjectGrant().GetOrganizationId(),
		from.GetProjectGrant().GetGrantedOrganizationId(),
	} {
		if organization != "" {
			to.Organizations = append(to.Organizations, organization)
		}
	}
	return to
}
