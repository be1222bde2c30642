package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
)

// target is something that is measured: a program between the load and the upstream, and
// the request that goes through it.
type target struct {
	name    string
	command command // nil is none: the load goes to the upstream
	request request
}

// command is how a program is started that listens on an address and has an upstream.
type command func(address, upstream string) (environ []string, name string, args []string)

const (
	userPath = "/management/v1/users/400850336480234534/password/_initialize"
	password = "Sup3rPassw0rd!"
	token    = "Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789"
)

// baseline is the target to which the others are compared.
const baseline = "httputil.ReverseProxy, passing"

func (p plan) targets(dir string) ([]target, error) {
	var (
		v1       = newRequest("POST", userPath, `{"password":"`+password+`"}`, `{"details":{"sequence":"2"`, token, "Content-Type: application/json", "X-Zitadel-Orgid: "+organization)
		passing  = newRequest("GET", "/passes", "", `{"details":{"sequence":"2"`, token)
		megabyte = newRequest("GET", "/megabyte", "", "xxxx", token)
		v2       = newRequest("POST", "/zitadel.user.v2.UserService/SetPassword", `{"userId":"1","newPassword":{"password":"x"}}`, `{"details":{"sequence":"2"`, token, "Content-Type: application/json")
	)
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
		{"direct, passing", nil, passing},
		{"direct, SetPassword v2", nil, v2},
		{baseline, reverseProxy, passing},
		{"httputil.ReverseProxy, 1 MiB", reverseProxy, megabyte},
		{"grpc-gateway and grpc-go, REST", peer("gateway"), v1},
		{"vanguard and connect-go, REST", peer("vanguard"), v1},
	}
	for _, binary := range []struct{ name, path string }{{"adapter", p.adapter}, {"other adapter", p.other}} {
		if binary.path == "" {
			continue
		}
		with := func(environ ...string) command {
			return func(address, upstream string) ([]string, string, []string) {
				return append(environ, "V1ADAPTER_ADMIN_LISTEN=127.0.0.1:0"), binary.path, []string{"--listen", address, "--upstream-url", "http://" + upstream}
			}
		}
		strict, off := with(), with("V1ADAPTER_ORGSCOPE=off")
		all = append(all,
			target{binary.name + ", passing", strict, passing},
			target{binary.name + ", 1 MiB", strict, megabyte},
			target{binary.name + ", REST, off", off, v1},
			target{binary.name + ", REST, strict", strict, v1},
			target{binary.name + ", gRPC-Web, strict", strict, web},
			target{binary.name + ", REST, strict, gRPC upstream", with("V1ADAPTER_UPSTREAM_PROTOCOL=grpc"), v1},
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

// webRequest is the call over gRPC-Web in text mode, whose answer can be recognized.
func webRequest() (request, error) {
	message, err := proto.Marshal(&managementv1.SetHumanInitialPasswordRequest{UserId: "400850336480234534", Password: password})
	if err != nil {
		return request{}, err
	}
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))) //nolint:gosec // tens of bytes
	body := base64.StdEncoding.EncodeToString(append(frame, message...))
	return newRequest("POST", "/zitadel.management.v1.ManagementService/SetHumanInitialPassword", body, "AAAAA",
		token, "Content-Type: application/grpc-web-text", "X-Zitadel-Orgid: "+organization), nil
}

// njsModule is where Debian's package libnginx-mod-http-js puts nginx's JavaScript.
const njsModule = "/usr/lib/nginx/modules/ngx_http_js_module.so"

// njsCall rewrites the call, by hand.
const njsCall = `function call(r) {
  const sent = {userId: r.uri.split('/')[4], newPassword: {password: JSON.parse(r.requestText).password, changeRequired: true}};
  r.subrequest('/zitadel.user.v2.UserService/SetPassword', {method: 'POST', body: JSON.stringify(sent)}, function (answer) {
    const details = JSON.parse(answer.responseText).details;
    r.headersOut['Content-Type'] = 'application/json';
    r.return(answer.status, JSON.stringify({details: {sequence: details.sequence, changeDate: details.changeDate, resourceOwner: details.resourceOwner}}));
  });
}
export default {call};
`

// nginxTargets is nginx, in one process, without logs; none if it is not installed, and
// with JavaScript if that is.
func nginxTargets(dir string, passing, v1 request) []target {
	binary, err := exec.LookPath("nginx")
	if err != nil {
		return nil
	}
	with := func(name, module, locations string) command {
		return func(address, upstream string) ([]string, string, []string) {
			config := filepath.Join(dir, name+".conf")
			_ = os.WriteFile(filepath.Join(dir, "v1.js"), []byte(njsCall), 0o600) // nginx says if they are not there
			_ = os.WriteFile(config, fmt.Appendf(nil, `%s daemon off; master_process off; pid %s/%s.pid; error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path %[2]s; proxy_temp_path %[2]s; fastcgi_temp_path %[2]s; uwsgi_temp_path %[2]s; scgi_temp_path %[2]s;
  keepalive_requests 1000000000; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $remote_addr;
  upstream zitadel { server %[4]s; keepalive 256; keepalive_requests 1000000000; }
  server { listen %[5]s; location / { proxy_pass http://zitadel; } %[6]s }
}`, module, dir, name, upstream, address, locations), 0o600)
			return nil, binary, []string{"-p", dir, "-c", config, "-e", "stderr"}
		}
	}
	targets := []target{{"nginx, passing", with("nginx", "", ""), passing}}
	if _, err := os.Stat(njsModule); err == nil {
		targets = append(targets, target{"nginx with njs, REST", with("njs", "load_module "+njsModule+";",
			"js_path "+dir+"; js_import v1.js; location /management/ { js_content v1.call; }"), v1})
	}
	return targets
}
