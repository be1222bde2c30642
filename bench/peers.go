package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
)

// organization is the id of the organization that both the user and the caller of every
// measured call belong to.
const organization = "400849858564525094"

// users is a user service that answers at once.
type users struct {
	userv2connect.UnimplementedUserServiceHandler

	details *objectv2.Details
}

func (u users) SetPassword(context.Context, *connect.Request[userv2.SetPasswordRequest]) (*connect.Response[userv2.SetPasswordResponse], error) {
	return connect.NewResponse(&userv2.SetPasswordResponse{Details: u.details}), nil
}

func (u users) GetUserByID(context.Context, *connect.Request[userv2.GetUserByIDRequest]) (*connect.Response[userv2.GetUserByIDResponse], error) {
	return connect.NewResponse(&userv2.GetUserByIDResponse{Details: u.details}), nil
}

// serveUpstream is a ZITADEL that answers at once.
func serveUpstream(address string) error {
	mux := http.NewServeMux()
	mux.Handle(userv2connect.NewUserServiceHandler(users{details: &objectv2.Details{
		Sequence: 2, ChangeDate: timestamppb.Now(), ResourceOwner: organization,
	}}, connect.WithCompression("gzip", nil, nil)))
	answer := func(contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header()["Content-Type"] = []string{contentType}
			_, _ = io.WriteString(w, body)
		}
	}
	mux.HandleFunc("GET /auth/v1/users/me", answer("application/json", `{"user":{"id":"7","details":{"resourceOwner":"`+organization+`"}}}`))
	mux.HandleFunc("POST /auth/v1/permissions/zitadel/me/_search", answer("application/json", `{"result":["user.write"]}`))
	mux.HandleFunc("GET /passes", answer("application/json", `{"details":{"sequence":"2","changeDate":"2026-11-24T14:50:53.375010Z","resourceOwner":"`+organization+`"}}`))
	megabyte := string(bytes.Repeat([]byte("x"), 1<<20))
	mux.HandleFunc("GET /megabyte", answer("application/octet-stream", megabyte))
	return serve(address, mux)
}

// serveReverseProxy is net/http's own reverse proxy, with the connections that it needs.
func serveReverseProxy(address, upstream string) error {
	to, err := url.Parse("http://" + upstream)
	if err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	return serve(address, &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(to)
			request.SetXForwarded()
		},
	})
}

func serve(address string, handler http.Handler) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Addr: address, Handler: handler, Protocols: protocols} //nolint:gosec // only bench connects
	return server.ListenAndServe()
}
