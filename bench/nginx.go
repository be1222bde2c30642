package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Where Debian's packages libnginx-mod-http-js, libnginx-mod-http-ndk, libnginx-mod-http-lua
// and lua-cjson put nginx's languages.
const (
	njsModule = "/usr/lib/nginx/modules/ngx_http_js_module.so"
	ndkModule = "/usr/lib/nginx/modules/ndk_http_module.so"
	luaModule = "/usr/lib/nginx/modules/ngx_http_lua_module.so"
)

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

// luaCall is the same in Lua.
const luaCall = `local cjson = require "cjson"
ngx.req.read_body()
local user = ngx.var.uri:match("^/management/v1/users/([^/]+)/")
local sent = {userId = user, newPassword = {password = cjson.decode(ngx.req.get_body_data()).password, changeRequired = true}}
local answer = ngx.location.capture("/zitadel.user.v2.UserService/SetPassword", {method = ngx.HTTP_POST, body = cjson.encode(sent)})
local details = cjson.decode(answer.body).details
local body = '{"details":{"sequence":"' .. details.sequence .. '","changeDate":"' .. details.changeDate .. '","resourceOwner":"' .. details.resourceOwner .. '"}}'
ngx.status = answer.status
ngx.header["Content-Type"] = "application/json"
ngx.header["Content-Length"] = #body
ngx.print(body)
`

// nginxTargets is nginx, in one process, without logs; none if it is not installed, and
// with each language that is.
func (p *plan) nginxTargets(send requests) []target {
	binary, err := exec.LookPath("nginx")
	if err != nil {
		return nil
	}
	with := func(name, module, locations string) program {
		return func(ctx context.Context, address, upstream string) *exec.Cmd {
			config := filepath.Join(p.dir, name+".conf")
			_ = os.WriteFile(filepath.Join(p.dir, "v1.js"), []byte(njsCall), 0o600) // nginx says if they are not there
			_ = os.WriteFile(filepath.Join(p.dir, "v1.lua"), []byte(luaCall), 0o600)
			_ = os.WriteFile(config, fmt.Appendf(nil, `%s daemon off; master_process off; pid %s/%s.pid; error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path %[2]s; proxy_temp_path %[2]s; fastcgi_temp_path %[2]s; uwsgi_temp_path %[2]s; scgi_temp_path %[2]s;
  keepalive_requests 1000000000; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $remote_addr;
  upstream zitadel { server %[4]s; keepalive 256; keepalive_requests 1000000000; }
  server { listen %[5]s; location / { proxy_pass http://zitadel; } %[6]s }
}`, module, p.dir, name, upstream, address, locations), 0o600)
			return exec.CommandContext(ctx, binary, "-p", p.dir, "-c", config, "-e", "stderr") //nolint:gosec // found in PATH
		}
	}
	targets := []target{send.get.by("nginx", with("nginx-get", "", "")), send.post.by("nginx", with("nginx-post", "", ""))}
	if _, err := os.Stat(njsModule); err == nil {
		targets = append(targets, send.rest.by("njs", with("njs", "load_module "+njsModule+";",
			"js_path "+p.dir+"; js_import v1.js; location /management/ { js_content v1.call; }")))
	}
	if _, err := os.Stat(luaModule); err == nil {
		targets = append(targets, send.rest.by("Lua", with("lua", "load_module "+ndkModule+"; load_module "+luaModule+";",
			"location /management/ { content_by_lua_file "+p.dir+"/v1.lua; }")))
	}
	return targets
}
