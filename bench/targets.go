package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"regexp"

	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
)

// target is something that is measured: a program between the load and the upstream, and
// the request that goes through it.
type target struct {
	name     string
	command  command // nil is none: the load goes to the upstream
	workload workload
	download bool // long: measured with few clients, and without latency at a rate
}

// command is how a program is started that listens on an address and has an upstream.
type command func(address, upstream string) (environ []string, name string, args []string)

const (
	userPath = "/management/v1/users/" + userID + "/password/_initialize"
	password = "Sup3rPassw0rd!"
	bearer   = "Bearer abcdefghijklmnopqrstuvwxyz0123456789"
	token    = "Authorization: " + bearer
	userID   = "400850336480234534"
)

// baseline is the target to which the others are compared.
const baseline = "httputil.ReverseProxy, passing"

func (p plan) targets(dir string) ([]target, error) {
	var (
		v1      = newRequest("POST", userPath, `{"password":"`+password+`"}`, `{"details":{"sequence":"2"`, token, "Content-Type: application/json", "X-Zitadel-Orgid: "+organization)
		passing = newRequest("GET", "/passes", "", `{"details":{"sequence":"2"`, token)
		large   = newRequest("GET", "/large", "", "xxxx", token)
		v2      = newRequest("POST", "/zitadel.user.v2.UserService/SetPassword", `{"userId":"1","newPassword":{"password":"x"}}`, `{"details":{"sequence":"2"`, token, "Content-Type: application/json")
	)
	grpcV1, grpcV2 := grpcCalls()
	web, err := webRequest()
	if err != nil {
		return nil, err
	}
	itself, err := os.Executable()
	if err != nil {
		return nil, err
	}
	peer := func(name string) command {
		return func(address, upstream string) ([]string, string, []string) {
			return nil, itself, []string{name, address, upstream}
		}
	}
	reverseProxy := peer("reverse-proxy")
	all := []target{
		{"direct, passing", nil, passing, false},
		{"direct, SetPassword v2", nil, v2, false},
		{baseline, reverseProxy, passing, false},
		{"httputil.ReverseProxy, 64 MiB", reverseProxy, large, true},
		{"httputil.ReverseProxy, gRPC, passing", peer("reverse-proxy-http2"), grpcV2, false},
		{"grpc-gateway and grpc-go, REST", peer("gateway"), v1, false},
		{"vanguard and connect-go, REST", peer("vanguard"), v1, false},
	}
	for _, binary := range []struct{ name, path string }{{"adapter", p.adapter}, {"other adapter", p.other}} {
		if binary.path == "" {
			continue
		}
		with := func(environ ...string) command { return adapterCommand(binary.path, environ...) }
		strict, off := with(), with("V1ADAPTER_ORGSCOPE=off")
		all = append(all,
			target{binary.name + ", passing", strict, passing, false},
			target{binary.name + ", 64 MiB", strict, large, true},
			target{binary.name + ", gRPC, passing", strict, grpcV2, false},
			target{binary.name + ", REST, off", off, v1, false},
			target{binary.name + ", REST, strict", strict, v1, false},
			target{binary.name + ", gRPC-Web, strict", strict, web, false},
			target{binary.name + ", gRPC, strict", strict, grpcV1, false},
			target{binary.name + ", REST, strict, gRPC upstream", with("V1ADAPTER_UPSTREAM_PROTOCOL=grpc"), v1, false},
		)
	}
	all = append(all, nginxTargets(dir, passing, v1)...)
	only, err := regexp.Compile(p.only)
	if err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	kept := all[:0]
	for _, each := range all {
		if each.name == baseline || only.MatchString(each.name) {
			kept = append(kept, each)
		}
	}
	return kept, nil
}

// grpcCalls are the translated call, and one that passes through.
func grpcCalls() (v1, v2 grpcCall) {
	v1 = grpcCall{
		managementv1connect.ManagementServiceSetHumanInitialPasswordProcedure,
		&managementv1.SetHumanInitialPasswordRequest{UserId: userID, Password: password},
		func() (proto.Message, func() uint64) {
			response := new(managementv1.SetHumanInitialPasswordResponse)
			return response, func() uint64 { return response.GetDetails().GetSequence() }
		},
	}
	v2 = grpcCall{
		userv2connect.UserServiceGetUserByIDProcedure,
		&userv2.GetUserByIDRequest{UserId: userID},
		func() (proto.Message, func() uint64) {
			response := new(userv2.GetUserByIDResponse)
			return response, func() uint64 { return response.GetDetails().GetSequence() }
		},
	}
	return v1, v2
}

// adapterCommand is an adapter with further variables in its environment.
func adapterCommand(binary string, environ ...string) command {
	return func(address, upstream string) ([]string, string, []string) {
		return append(environ, "V1ADAPTER_ADMIN_LISTEN=127.0.0.1:0"), binary, []string{"--listen", address, "--upstream-url", "http://" + upstream}
	}
}

// webRequest is the call over gRPC-Web in text mode, whose answer can be recognized.
func webRequest() (httpRequest, error) {
	message, err := proto.Marshal(&managementv1.SetHumanInitialPasswordRequest{UserId: userID, Password: password})
	if err != nil {
		return httpRequest{}, err
	}
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))) //nolint:gosec // tens of bytes
	body := base64.StdEncoding.EncodeToString(append(frame, message...))
	return newRequest("POST", "/zitadel.management.v1.ManagementService/SetHumanInitialPassword", body, "AAAAA",
		token, "Content-Type: application/grpc-web-text", "X-Zitadel-Orgid: "+organization), nil
}
