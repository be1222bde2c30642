package main

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
	"connectrpc.com/vanguard"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
)

// Two adapters made of parts, without the organization rule, limits, a breaker, a log and
// metrics: the least that somebody would write.

func toV2(userID, password string) *userv2.SetPasswordRequest {
	return &userv2.SetPasswordRequest{UserId: userID, NewPassword: &userv2.Password{Password: password, ChangeRequired: true}}
}

func toV1(details *objectv2.Details) *zitadelv1.ObjectDetails {
	return &zitadelv1.ObjectDetails{Sequence: details.GetSequence(), ChangeDate: details.GetChangeDate(), ResourceOwner: details.GetResourceOwner()}
}

// serveGateway is grpc-gateway in front of a gRPC client of v2.
func serveGateway(address, upstream string) error {
	client, err := grpc.NewClient(upstream, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	mux := runtime.NewServeMux()
	err = mux.HandlePath(http.MethodPost, "/management/v1/users/{user_id}/password/_initialize",
		func(w http.ResponseWriter, r *http.Request, parameters map[string]string) {
			inbound, outbound := runtime.MarshalerForRequest(mux, r)
			ctx, err := runtime.AnnotateContext(r.Context(), mux, r, managementv1connect.ManagementServiceSetHumanInitialPasswordProcedure)
			var request managementv1.SetHumanInitialPasswordRequest
			if err == nil {
				err = inbound.NewDecoder(r.Body).Decode(&request)
			}
			var response userv2.SetPasswordResponse
			if err == nil {
				ctx = metadata.AppendToOutgoingContext(ctx, "x-zitadel-orgid", r.Header.Get("X-Zitadel-Orgid"))
				err = client.Invoke(ctx, userv2connect.UserServiceSetPasswordProcedure, toV2(parameters["user_id"], request.GetPassword()), &response)
			}
			if err != nil {
				runtime.HTTPError(r.Context(), mux, outbound, w, r, err)
				return
			}
			runtime.ForwardResponseMessage(ctx, mux, outbound, w, r, &managementv1.SetHumanInitialPasswordResponse{Details: toV1(response.GetDetails())})
		})
	if err != nil {
		return err
	}
	return serve(address, mux)
}

// vanguardService is v1's service by connect-go's client of v2.
type vanguardService struct {
	managementv1connect.UnimplementedManagementServiceHandler

	users userv2connect.UserServiceClient
}

func (s vanguardService) SetHumanInitialPassword(
	ctx context.Context, request *connect.Request[managementv1.SetHumanInitialPasswordRequest],
) (*connect.Response[managementv1.SetHumanInitialPasswordResponse], error) {
	forwarded := connect.NewRequest(toV2(request.Msg.GetUserId(), request.Msg.GetPassword()))
	for _, name := range []string{"Authorization", "X-Zitadel-Orgid"} {
		forwarded.Header().Set(name, request.Header().Get(name))
	}
	response, err := s.users.SetPassword(ctx, forwarded)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&managementv1.SetHumanInitialPasswordResponse{Details: toV1(response.Msg.GetDetails())}), nil
}

// serveVanguard is vanguard in front of connect-go's client of v2.
func serveVanguard(address, upstream string) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}}
	service := vanguardService{users: userv2connect.NewUserServiceClient(client, "http://"+upstream, connect.WithAcceptCompression("gzip", nil, nil))}
	transcoder, err := vanguard.NewTranscoder(
		[]*vanguard.Service{vanguard.NewService(managementv1connect.NewManagementServiceHandler(service))},
		vanguard.WithRules(&annotations.HttpRule{
			Selector: "zitadel.management.v1.ManagementService.SetHumanInitialPassword", Body: "*",
			Pattern: &annotations.HttpRule_Post{Post: "/management/v1/users/{user_id}/password/_initialize"},
		}))
	if err != nil {
		return err
	}
	return serve(address, transcoder)
}
