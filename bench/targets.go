package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os/exec"
	"regexp"
	"slices"

	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
)

// target is something that is measured: a program between the load and the upstream, and
// the request that goes through it.
type target struct {
	name string
	like string // the target that it is compared with: the tuned ReverseProxy's

	program  program // nil is none: the load goes to the upstream
	workload workload
	download bool // long: measured with few clients, and without latency at a rate
}

const (
	userPath    = "/management/v1/users/" + userID + "/password/_initialize"
	countedPath = "/management/v1/orgs/me" // passes through, and is counted as a call of v1
	password    = "Sup3rPassw0rd!"
	bearer      = "Bearer abcdefghijklmnopqrstuvwxyz0123456789"
	token       = "Authorization: " + bearer
	userID      = "400850336480234534"
	details     = `{"details":{"sequence":"2"` // begins an answer

	tuned    = "ReverseProxy, " // begins the names of the targets that the others are compared with
	goGC     = "GOGC=100"       // is Go's default
	withGoGC = " with " + goGC
)

// requests are those that are measured, in the ways that there are to send them.
type requests struct{ get, counted, post, large, passingGRPC, rest, web, gRPC target }

func newRequests() (requests, error) {
	const sixty = `{"query":{"limit":100},"queries":[{"userName":"someone@x"}]}`
	translated, passing := grpcCalls()
	web, err := webRequest()
	asJSON, inOrganization := "Content-Type: application/json", "X-Zitadel-Orgid: "+organization
	return requests{
		get:         target{name: "GET", like: "GET", workload: newRequest("GET", "/passes", "", details, token)},
		counted:     target{name: "v1 GET", like: "GET", workload: newRequest("GET", countedPath, "", details, token)},
		post:        target{name: "POST", like: "POST", workload: newRequest("POST", "/passes", sixty, details, token, asJSON)},
		large:       target{name: "64 MiB", like: "64 MiB", workload: newRequest("GET", "/large", "", "xxxx", token), download: true},
		passingGRPC: target{name: "gRPC passing", like: "gRPC passing", workload: passing},
		rest:        target{name: "REST", like: "POST", workload: newRequest("POST", userPath, `{"password":"`+password+`"}`, details, token, asJSON, inOrganization)},
		web:         target{name: "gRPC-Web", like: "POST", workload: web},
		gRPC:        target{name: "gRPC in", like: "gRPC passing", workload: translated},
	}, err
}

// by is a request by way of a program.
func (t target) by(name string, how program) target {
	t.name, t.like, t.program = name+", "+t.name, tuned+t.like, how
	return t
}

// but is a request under a further name.
func (t target) but(name string) target {
	t.name += " " + name
	return t
}

// targets are all, or those that -only asks for and what they are compared with.
func (p *plan) targets() ([]target, error) {
	send, err := newRequests()
	if err != nil {
		return nil, err
	}
	const reverseProxy, withoutPool = "ReverseProxy", "ReverseProxy without pool"
	onePool, noPool, collecting := peer("reverse-proxy"), peer("reverse-proxy-without-pool"), peer("reverse-proxy").with(goGC)
	all := []target{
		send.get.by("direct", nil), send.post.by("direct", nil),
		send.get.by(reverseProxy, onePool), send.post.by(reverseProxy, onePool), send.large.by(reverseProxy, onePool),
		send.passingGRPC.by(reverseProxy, peer("reverse-proxy-http2")),
		send.get.by(withoutPool, noPool), send.post.by(withoutPool, noPool),
		send.get.by(reverseProxy+withGoGC, collecting), send.post.by(reverseProxy+withGoGC, collecting),
		send.rest.by("grpc-gateway", peer("gateway")),
		send.rest.by("vanguard", peer("vanguard")),
	}
	others := adapterTargets(otherAdapter, p.other, send)
	for i, each := range adapterTargets("adapter", p.adapter, send) {
		all = append(all, each)
		if p.other != "" {
			all = append(all, others[i])
		}
	}
	all = append(all, p.nginxTargets(send)...)
	only, err := regexp.Compile(p.only)
	if err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	wanted := make(map[string]bool)
	for _, each := range all {
		if only.MatchString(each.name) {
			wanted[each.name], wanted[each.like] = true, true
		}
	}
	return slices.DeleteFunc(all, func(each target) bool { return !wanted[each.name] }), nil
}

// otherAdapter is the name of what -other names.
const otherAdapter = "other adapter"

func adapterTargets(name, binary string, send requests) []target {
	strict := adapterProgram(binary)
	off, overGRPC := strict.with("V1ADAPTER_ORGSCOPE=off"), strict.with("V1ADAPTER_UPSTREAM_PROTOCOL=grpc")
	collecting := strict.with(goGC)
	return []target{
		send.get.by(name, strict), send.counted.by(name, strict), send.post.by(name, strict), send.large.by(name, strict), send.passingGRPC.by(name, strict),
		send.rest.but("off").by(name, off), send.rest.but("strict").by(name, strict),
		send.web.by(name, strict), send.gRPC.by(name, strict),
		send.rest.but("strict, gRPC upstream").by(name, overGRPC),
		send.get.by(name+withGoGC, collecting), send.post.by(name+withGoGC, collecting), send.rest.but("strict").by(name+withGoGC, collecting),
	}
}

func adapterProgram(binary string) program {
	return func(ctx context.Context, address, upstream string) *exec.Cmd {
		command := exec.CommandContext(ctx, binary, "--listen", address, "--upstream-url", "http://"+upstream) //nolint:gosec // what the caller names
		command.Env = []string{"V1ADAPTER_ADMIN_LISTEN=127.0.0.1:0"}
		return command
	}
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
