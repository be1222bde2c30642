package reference_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"

	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/internal/wiretest"
)

const procedure = "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"

func encodedRequest(user, password string) []byte {
	message, err := proto.Marshal(&managementv1.SetHumanInitialPasswordRequest{UserId: user, Password: password})
	if err != nil { // text that is not UTF-8
		message = append([]byte{0x0a, byte(len(user))}, user...)
		message = append(append(message, 0x12, byte(len(password))), password...)
	}
	return message
}

func grpcProtocol() protocol {
	return protocol{name: "gRPC", base: func(bool) *call {
		return &call{
			http2: true, method: http.MethodPost, target: procedure, host: "localhost", hasHost: true,
			headers: [][2]string{{"Content-Type", "application/grpc"}, {"Te", "trailers"}, {"Authorization", "Bearer owner-token"}},
			body:    frame(0, encodedRequest(userID, goodPassword)),
		}
	}, features: func(random *rand.Rand) feature {
		return choose(random, append(rpcFeatures(random),
			header(random, "Content-Type", grpcContentTypes()...), header(random, "Content-Type", grpcContentTypes()...),
			func() feature { return feature{"no TE", func(c *call) { c.remove("Te") }} },
			func() feature {
				return feature{"HTTP/1.1", func(c *call) { c.http2, c.framing, c.lineEnd = false, byLength, "\r\n" }}
			},
		)...)
	}}
}

func grpcContentTypes() []string {
	return []string{
		"application/grpc+proto", "application/grpc+json", "application/grpc+x", "application/grpc;charset=utf-8", "application/grpc; charset=utf-8", "application/grpc+", "application/grpcx", "APPLICATION/GRPC", "application/grpc ", "application/json", "", "application/grpc+proto; x=y", "application/connect+proto", "application/proto", " application/grpc", "application/grpc+json ", "application/grpc,application/grpc",
	}
}

// webProtocol is gRPC-Web, in binary or text mode.
func webProtocol(isText bool) protocol {
	name, contentType := "gRPC-Web", "application/grpc-web+proto"
	if isText {
		name, contentType = "gRPC-Web text", "application/grpc-web-text"
	}
	return protocol{name: name, base: func(http2 bool) *call {
		body := frame(0, encodedRequest(userID, goodPassword))
		if isText {
			body = []byte(base64.StdEncoding.EncodeToString(body))
		}
		return &call{
			http2: http2, method: http.MethodPost, target: procedure, host: "localhost", hasHost: true, framing: byLength, lineEnd: "\r\n",
			headers: [][2]string{{"Content-Type", contentType}, {"X-Grpc-Web", "1"}, {"Authorization", "Bearer owner-token"}}, body: body,
		}
	}, features: func(random *rand.Rand) feature {
		choices := append(rpcFeatures(random),
			header(random, "Content-Type", webContentTypes(contentType)...), header(random, "Content-Type", webContentTypes(contentType)...),
			origin(random), framingFeature(random), framingFeature(random),
			func() feature {
				return feature{"trailer frame", func(c *call) { c.appendMessage(frame(0x80, []byte("grpc-status: 0\r\n"))) }}
			},
			func() feature { return feature{"no X-Grpc-Web", func(c *call) { c.remove("X-Grpc-Web") }} })
		if isText {
			choices = append(choices, textFeature(random), textFeature(random), textFeature(random), textFeature(random))
		}
		return choose(random, choices...)
	}}
}

func webContentTypes(usual string) []string {
	return []string{
		usual + "; charset=utf-8", usual + ";x", usual + "x", usual + " ", "application/grpc-web", "application/grpc-web+json", "application/grpc-webx", "application/grpc-web-textx", "application/grpc-web-text+proto", "application/grpc-web-text; charset=utf-8",
		"application/grpc-web+", "application/grpc-web+proto; application/grpc-web", "application/grpc-web;application/grpc", "APPLICATION/GRPC-WEB", "application/grpc", "", "application/grpc-web-", "application/grpc-web+thrift", "application/json",
	}
}

// isText reports whether a call's body is base64.
func (c *call) isText() bool {
	return strings.HasPrefix(c.get("Content-Type"), "application/grpc-web-text")
}

// message returns the frames of the body, out of base64; setMessage sets them.
func (c *call) message() []byte {
	if decoded, err := base64.StdEncoding.DecodeString(string(c.body)); err == nil && c.isText() {
		return decoded
	}
	return c.body
}

func (c *call) setMessage(frames []byte) {
	if c.isText() {
		frames = []byte(base64.StdEncoding.EncodeToString(frames))
	}
	c.body = frames
}

func (c *call) appendMessage(frames []byte) { c.setMessage(append(c.message(), frames...)) }

// textFeature is something odd in base64.
func textFeature(random *rand.Rand) func() feature {
	return func() feature {
		switch random.IntN(6) {
		case 0:
			return feature{"no padding", func(c *call) { c.body = []byte(strings.TrimRight(string(c.body), "=")) }}
		case 1:
			return feature{"URL alphabet", func(c *call) { c.body = []byte(strings.NewReplacer("+", "-", "/", "_").Replace(string(c.body))) }}
		case 2:
			return feature{"line breaks", func(c *call) {
				if len(c.body) > 10 {
					c.body = []byte(string(c.body[:10]) + "\r\n" + string(c.body[10:]) + "\n")
				}
			}}
		case 3:
			junk := []string{"=", "====", "!", "A", "AA", "AA==", "\x00", " "}[random.IntN(8)]
			return feature{fmt.Sprintf("base64 and %q", junk), func(c *call) { c.body = append(c.body, junk...) }}
		case 4:
			cut := 1 + random.IntN(6)
			return feature{fmt.Sprintf("base64 less %d", cut), func(c *call) { c.body = c.body[:max(0, len(c.body)-cut)] }}
		}
		size := []int{1, 2, 4, 5, 7, 40}[random.IntN(6)]
		return feature{fmt.Sprintf("base64 in pieces of %d", size), func(c *call) {
			var body []byte
			for rest := c.message(); len(rest) > 0; rest = rest[min(size, len(rest)):] {
				body = append(body, base64.StdEncoding.EncodeToString(rest[:min(size, len(rest))])...)
			}
			c.body = body
		}}
	}
}

// rpcFeatures are those of gRPC and gRPC-Web.
func rpcFeatures(random *rand.Rand) []func() feature {
	named := func(name string, values []string, apply func(c *call, value string)) func() feature {
		return func() feature {
			value := values[random.IntN(len(values))]
			return feature{fmt.Sprintf("%s %q", name, value), func(c *call) { apply(c, value) }}
		}
	}
	user := named("user", []string{"", "x", "3002", "3003", "3004", "3005", "4001", "ä", "a\nb", "\x00", "\xff", strings.Repeat("9", 100)}, func(c *call, id string) {
		c.setMessage(frame(0, encodedRequest(id, goodPassword)))
	})
	password := named("password", []string{"", "a", strings.Repeat("ä", 73), strings.Repeat("ä", 50) + "aA1!", "alllowercase1!", "NoSymbol1aaa", "\xff", "a\x00B1!aaaa"}, func(c *call, password string) {
		c.setMessage(frame(0, encodedRequest(userID, password)))
	})
	target := named("target", rpcTargets(), func(c *call, target string) { c.target = target })
	method := named("method", []string{"GET", "PUT", "OPTIONS", "HEAD", "post"}, func(c *call, method string) {
		c.method = method
		if method == http.MethodHead || method == http.MethodGet {
			c.body = nil
		}
	})
	mutated := func() feature {
		message := frame(byte(random.IntN(9)/8), mutate(random, encodedRequest(userID, goodPassword)))
		return feature{fmt.Sprintf("message %q", message), func(c *call) { c.setMessage(message) }}
	}
	authorization := header(random, "Authorization", oddAuthorizations()...)
	line := headerLine(random, rpcHeaders())
	return []func() feature{
		user, password, target, method, mutated, mutated, frameFeature(random), frameFeature(random), compression(random), compression(random), compression(random),
		authorization, authorization, callerFeature(random), header(random, "x-zitadel-orgid", oddOrganizations()...), header(random, "x-zitadel-orgid", oddOrganizations()...),
		header(random, "Grpc-Timeout", oddTimeouts()...), header(random, "Grpc-Timeout", oddTimeouts()...), line, line, line, hostFeature(random),
		func() feature { return feature{"no Authorization", func(c *call) { c.remove("Authorization") }} },
		func() feature {
			pieces := 2 + random.IntN(4)
			return feature{fmt.Sprintf("%d DATA frames", pieces), func(c *call) { c.pieces = pieces }}
		},
	}
}

func rpcTargets() []string {
	const service = "/zitadel.management.v1.ManagementService"
	return []string{
		service + "/SetHumanPassword", service + "/SetHumanPassword", service + "/Nope", service + "/", service, "/nope.Service/Method", "/nope", service + "/SetHumanInitialPassword/", service + "//SetHumanInitialPassword", "/" + procedure,
		procedure + "?x=1", service + "/SetHumanInitial%50assword", "/x/.." + procedure, service + "/SetHumanInitialPassword/x", service + "/sethumaninitialpassword", "http://localhost" + procedure, "http://localhost/" + procedure, procedure + "#x", service + "/a%2Fb", "/zitadel%2Emanagement.v1.ManagementService/SetHumanInitialPassword", strings.TrimPrefix(procedure, "/"), "*",
		"/management/v1/users/" + userID + "/password/_initialize",
	}
}

// frameFeature is something odd in the frames.
func frameFeature(random *rand.Rand) func() feature {
	return func() feature {
		switch random.IntN(8) {
		case 0:
			return feature{"no body", func(c *call) { c.body = nil }}
		case 1:
			cut := 1 + random.IntN(34)
			return feature{fmt.Sprintf("less %d bytes", cut), func(c *call) { c.setMessage(c.message()[:max(0, len(c.message())-cut)]) }}
		case 2:
			return feature{"two frames", func(c *call) { c.setMessage(append(c.message(), c.message()...)) }}
		case 3:
			return feature{"junk behind", func(c *call) { c.appendMessage([]byte("xyz")) }}
		case 4:
			flag := byte(random.IntN(256))
			return feature{fmt.Sprintf("flag %d", flag), func(c *call) {
				if frames := append([]byte(nil), c.message()...); len(frames) > 0 {
					frames[0] = flag
					c.setMessage(frames)
				}
			}}
		case 5:
			return feature{"empty message", func(c *call) { c.setMessage(frame(0, nil)) }}
		case 6:
			return feature{"5 MiB", func(c *call) { c.setMessage([]byte{0, 0, 0x50, 0, 0, 1}) }}
		}
		return feature{"4 GiB", func(c *call) { c.setMessage([]byte{0, 0xff, 0xff, 0xff, 0xff, 1}) }}
	}
}

// compression is an encoding in the header, and perhaps in the frame.
func compression(random *rand.Rand) func() feature {
	return func() feature {
		encoding := []string{"gzip", "gzip", "gzip", "identity", "br", "", "GZIP", "deflate", "gzip,identity", " gzip", "ä", "snappy"}[random.IntN(12)]
		switch random.IntN(4) {
		case 0:
			return feature{fmt.Sprintf("Grpc-Encoding: %q alone", encoding), func(c *call) { c.set("Grpc-Encoding", encoding) }}
		case 1:
			return feature{fmt.Sprintf("Grpc-Encoding: %q, flag, plain", encoding), func(c *call) {
				c.set("Grpc-Encoding", encoding)
				if frames := c.message(); len(frames) > 5 {
					c.setMessage(frame(1, frames[5:]))
				}
			}}
		case 2:
			return header(random, "Grpc-Accept-Encoding", "gzip", "br", "identity", "", "gzip,br", "ä")()
		}
		return feature{fmt.Sprintf("Grpc-Encoding: %q, packed", encoding), func(c *call) {
			c.set("Grpc-Encoding", encoding)
			if frames := c.message(); len(frames) > 5 {
				c.setMessage(frame(1, wiretest.Gzip(noTest{}, frames[5:])))
			}
		}}
	}
}

func rpcHeaders() []string {
	return []string{
		"x-foo-bin: %%%", "x-foo-bin: AAEC", "x-foo-bin: AAEC==", "x-foo-bin: AA==", "x-foo-bin: AA", "x-foo-bin: A", "x-foo-bin: ", "x-foo-bin: AAEC,AAEC", "x-zitadel-orgid-bin: %%%", "grpc-tags-bin: %%%", "grpc-trace-bin: %%%", "grpc-status-details-bin: %%%", "-bin: %%%", "x-foo-bin: ä", "te: x", "te: trailers, x",
		"x-zitadel-orgid: 1002", "authorization: Bearer x", "accept-language: de", "accept-language: ä", "user-agent: ä", "x-foo: ä", "x-foo: a\tb", "x-foo: \xff", "x_y: 1", "x.y: 1", "x!y: 1", "grpc-encoding: gzip", "grpc-timeout: 10S", "grpc-status: 3", "grpc-message: x", "grpc-message-type: x", "grpc-previous-rpc-attempts: x", "connection: close", "host: nope.example", "content-length: 41", "content-length: 7", "content-length: 1, 2", "transfer-encoding: identity",
		"expect: 100-continue", "accept-encoding: gzip", "content-encoding: gzip", "x-user-agent: grpc-web", "x-grpc-web: x", "origin: https://app.example", "trailer: x", "cookie: a=b", "x-http-method-override: GET", "x-zitadel-public-host: nope.example", "content-type: application/grpc", "content-type: text/plain", "grpc-metadata-x-zitadel-orgid: 123", "x-foo: ", "x y: z", "x-cr: a\rb", "x-nul: a\x00b", "access-control-request-headers: x-grpc-web", "zitadel-activity-path: ä", "grpc-foo: x",
	}
}
