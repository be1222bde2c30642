package reference_test

import (
	"strings"
	"testing"
)

// noTest is a testing.TB for helpers that cannot fail here.
type noTest struct{ testing.TB }

func (noTest) Helper() {}

func oddIDs() []string {
	return []string{
		"3002", "3003", "3004", "3005", "4001", "999", "1", "a%20b", "%ff", "%E4", "%25zz", "a%2Fb", "a:b", "x%00", "%C3%A4", "a;b", "a+b", "*", "_initialize",
		userID + ":x", "%7B%7D", "300%31", "%0a", "a%0ab", "%09", "%7f", "%1f", "%80", "%c2%a0", "a%3Fb", "%23", "%2e%2e", "..", ".", "%2e", "", "a//b",
		"%zz", "a b", "\xe4", "\xff", "a\tb", strings.Repeat("9", 200), strings.Repeat("9", 201), strings.Repeat("%C3%A4", 201), "%E2%80%AE", "%22", "'", "<x>", "\\",
	}
}

func oddTargets() []string {
	const path = "/management/v1/users/" + userID + "/password/_initialize"
	return []string{
		path + "/", path + ":x", path + "/x", path + "?a=%zz", path + "?userId=x", path + "?", path + "#x", path + "?a=b;c", "/" + path, path + "//", "//management/v1/users/" + userID + "/password/_initialize?q=1",
		"/management/v1/users/" + userID + "/password/%5Finitialize", "/management/v1/users/" + userID + "/passwor%64/_initialize",
		"/management/v1%2Fusers/" + userID + "/password/_initialize", "/management/v1/users//password/_initialize", "/management/v1//users/" + userID + "/password/_initialize",
		"/management/v1/./users/" + userID + "/password/_initialize", "/management/v1/x/../users/" + userID + "/password/_initialize", "/management/v1/users/a/../" + userID + "/password",
		"/%6Danagement/v1/users/" + userID + "/password/_initialize", "/MANAGEMENT/v1/users/" + userID + "/password/_initialize", "/management/v1/users/" + userID + "/PASSWORD",
		strings.TrimPrefix(path, "/"), "http://localhost" + path, "http://localhost/" + path, "http://nope.example" + path, "https://localhost" + path + "/", "http://localhost//x" + path,
		"http://localhost", "*", "x:" + path, "management:v1", "localhost:80", "/management/v1/users/" + userID, "http://localhost/" + path + "?a=b", "http://user:pass@localhost/" + path, "HTTP://LOCALHOST" + path,
		"//", "/" + path + "/../_initialize", path + "/..", path + "/.", "/management/v1/users/" + userID + "/password%2F_initialize", "/management/v1/users/" + userID + "//password/_initialize?x#y",
	}
}

func oddBodies() []string {
	return []string{
		"", "{}", "null", "[]", `"x"`, "1", "{", "}", " ", "\x00", "-", "tru", validBody, validBody, validBody + " x", validBody + validBody, "\ufeff{}",
		`{"password":"Sup3rPassw0rd!","a":1}`, `{"password":1}`, `{"password":null}`, `{"password":true}`, `{"password":{}}`, `{"password":123}`,
		`{"password":"a`, `{"password":"a\u12"}`, `{"password":"\ud800"}`, "{\"password\":\"\xff\"}", "{\"password\":\"a\tb\"}",
		`{"userId":1}`, `{"user_id":"a","userId":"b"}`, `{"userId":"a","password":"Sup3rPassw0rd!"}`, `{"PASSWORD":"x"}`,
		`{'password':'x'}`, `{"password":"Sup3rPassw0rd!",}`, `{"password" "x"}`, `{"password":"x"]`, `{password:"x"}`,
		`{"password":"Sup3rPassw0rd!","password":null}`, `{"a":{"a":[1,2,{"b":null}]},"password":"Sup3rPassw0rd!"}`, `{"a":01}`,
		`{"a":1e999,"password":"Sup3rPassw0rd!"}`, `{"@type":"x","password":"Sup3rPassw0rd!"}`, "password=x",
		`/* c */{}`, `{"":""}`, `{"password":"Sup3r\u0050assw0rd!"}`, `{"pass\u0077ord":"Sup3rPassw0rd!"}`, `{"a":"\x"}`,
		`{"password":"Sh0rt!"}`, `{"password":"alllowercase1!"}`, `{"password":"ALLUPPER1!"}`, `{"password":"NoNumber!aaa"}`, `{"password":"NoSymbol1aaa"}`,
		`{"password":"` + strings.Repeat("ä", 71) + `A1"}`, `{"password":"` + strings.Repeat("a", 73) + `"}`, `{"password":"` + strings.Repeat("ä", 60) + `aA1!"}`,
		`{"password":"Sup3rPassw0rd!","noChangeRequired":true}`, `{"password":"Sup3rPassw0rd!","noChangeRequired":"x"}`, `{"password":"Sup3rPassw0rd!","noChangeRequired":1}`,
		"\xef\xbb\xbf" + validBody, strings.Repeat(" ", 5000) + validBody, `{"a":"` + strings.Repeat("x", 20000) + `","password":"Sup3rPassw0rd!"}`, strings.Repeat("[", 10001),
	}
}

func oddAuthorizations() []string {
	return []string{
		"Bearer x", "bearer owner-token", "Basic x", "", "Bearer ä", "xBearer owner-token", "Bearer ", "Bearer  owner-token", "Bearer owner-token ", " Bearer owner-token", "Bearer\towner-token",
		"Bearer owner-token\t", "\xff", "Bearer \xff", "Bearer owner-token\xa0", "Bearer owner-token,Bearer owner-token", "Bearer " + "Bearer owner-token", "BearerBearer owner-token", "owner-token", "\x01", "Bearer\x7f",
		"Bearer owner-token, x", "Bearer \towner-token", "é Bearer owner-token", "\tBearer owner-token", "Bearer owner\ttoken",
	}
}

func oddOrganizations() []string {
	return []string{homeOrg, otherOrg, "123", "", " ", homeOrg + " ", homeOrg + "\t", " " + homeOrg, "\t", homeOrg + "," + otherOrg, homeOrg + ", " + homeOrg, "ä", "\xff", "A", "\x01", homeOrg + "\x7f", strings.Repeat("1", 300)}
}

func oddTimeouts() []string {
	return []string{
		"1n", "0n", "10S", "S", "", "0S", "-1S", "1x", "99999999S", "999999999S", "99999999999S", "1 S", "5H", "+5S", "1.5S", "99999999H", " 10S", "10S ", "10s", "0", "x", "ä", "00000010S", "9223372036854775807H", "1M", "\t", "10S,10S",
	}
}

func oddContentTypes() []string {
	return []string{
		"application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text", "application/grpc-webx", "application/grpc", "application/grpc+proto", "application/grpc+json", "application/grpc+x", "application/grpcx",
		"application/x-www-form-urlencoded", "multipart/form-data", "", "application/xml", "text/plain", "application/json", "application/json; charset=utf-8", "application/json;charset=latin1", "x", "application/proto", "application/connect+json", "ä", "*/*", "application/octet-stream", "application/grpc-web; charset=utf-8", "APPLICATION/GRPC",
	}
}

func oddRESTHeaders() []string {
	return []string{
		"X-ZITADEL-ORGID: 1001", "x-zitadel-orgid: 1002", "X-Zitadel-Other: ä", "Grpc-Metadata-Foo: ä", "Grpc-Metadata-Foo: a\tb", "Grpc-Metadata-X-Trace-Bin: %%%", "Grpc-Metadata-X-Trace-Bin: AAEC", "Grpc-Metadata-X-Trace-Bin: AAEC==", "Grpc-Metadata-X-Trace-Bin: AA==", "Grpc-Metadata-X-Trace-Bin: ", "Grpc-Metadata-Bin: %%%", "Grpc-Metadata--Bin: %",
		"X-Other-Bin: %%%", "X-Zitadel-Bin: %%%", "X-Zitadel-X-Bin: AAEC", "Authorization-Bin: %%%", "Grpc-Metadata-:path: /x", "Grpc-Metadata-: x", "Grpc-Metadata-host: nope.example", "Grpc-Metadata-Host: localhost", "Grpc-Metadata-Te: trailers", "Grpc-Metadata-Content-Type: text/plain", "Grpc-Metadata-User-Agent: x",
		"Grpc-Metadata-Grpc-Timeout: 1n", "Grpc-Metadata-Grpc-Encoding: gzip", "Grpc-Metadata-Grpc-Status: 3", "Grpc-Metadata-Grpc-Message: x", "Grpc-Metadata-Grpc-Message-Type: x", "Grpc-Metadata-Grpc-Foo: x", "Grpc-Metadata-Connection: close", "Grpc-Metadata-Transfer-Encoding: chunked", "Grpc-Metadata-Content-Length: 3", "Grpc-Metadata-Upgrade: x", "Grpc-Metadata-Keep-Alive: x", "Grpc-Metadata-Proxy-Connection: x", "Grpc-Metadata-Trailer: x", "Grpc-Metadata-Expect: 100-continue",
		"Grpc-Metadata-x_y: 1", "Grpc-Metadata-x.y: 1", "Grpc-Metadata-x!y: 1", "Grpc-Metadata-x'y: 1", "Grpc-Metadata-x|y: 1", "Grpc-Metadata-zitadel-activity-path: x", "Grpc-Metadata-Authorization: Bearer x", "Grpc-Metadata-Authorization: Bearer owner-token", "Grpc-Metadata-X-Forwarded-Host: nope.example", "Grpc-Metadata-Forwarded: host=nope.example", "Grpc-Metadata-X-Zitadel-Instance-Host: nope.example", "Grpc-Metadata-X-Zitadel-Forwarded: host=nope.example", "Grpc-Metadata-X-Zitadel-Orgid-Bin: %%%",
		"Grpc-Timeout: 10S", "TE: trailers", "Te: trailers, deflate", "TE: deflate", "TE: Trailers", "TE: trailers;q=0", "Accept: text/html", "Accept: application/octet-stream", "Accept-Encoding: gzip", "Accept-Language: de", "Accept-Language: ä", "Grpc-Metadata-Accept-Language: de", "Expect: 100-continue", "Expect: x", "Connection: keep-alive, x-zitadel-orgid", "Connection: upgrade", "Upgrade: websocket", "Upgrade: h2c", "Content-Encoding: gzip", "Content-Encoding: identity", "Transfer-Encoding: identity", "Transfer-Encoding: gzip", "Transfer-Encoding: gzip, chunked", "Content-Length: 0x1d", "Content-Length: -1", "Content-Length: +29", "Content-Length: ", "Content-Length: 29, 29", "Keep-Alive: x", "Proxy-Connection: x", "Proxy-Authorization: x", "Cookie: a=b", "Cookie: ä", "Referer: ä", "User-Agent: ä", "User-Agent: ", "Via: 1.1 x", "Warning: x", "Pragma: no-cache", "Cache-Control: no-cache", "If-None-Match: *", "If-Modified-Since: x", "Range: bytes=0-1", "From: x", "Max-Forwards: 0", "Date: x", "Host: localhost", "X-User-Agent: x", "X-Grpc-Web: 1", "Grpc-Encoding: gzip", "Grpc-Accept-Encoding: gzip", "Grpc-Status: 3", "Grpc-Message: x", "Grpc-Trailer-X: y", "Trailer: x", "Trailer: Content-Length",
		"X-Zitadel-Public-Host: nope.example", "X y: z", "X-\xe4: z", ": z", "X-Nul: a\x00b", "X-Ctl: a\x01b", "X-Cr: a\rb", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-grpc-web", "X-Grpc-Test-Echo-Initial: x", "Grpcgateway-Authorization: Bearer x", "Grpc-Metadata-Grpc-Accept-Encoding: br", "Grpc-Metadata-Grpc-Previous-Rpc-Attempts: x", "Grpc-Metadata-Grpc-Tags-Bin: %%%", "Grpc-Metadata-Grpc-Tags-Bin: AAEC", "Grpc-Metadata-Grpc-Trace-Bin: AAEC",
	}
}
