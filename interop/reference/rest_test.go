package reference_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"

	"zitadel-v1-adapter/internal/wiretest"
)

const validBody = `{"password":"` + goodPassword + `"}`

func restProtocol() protocol {
	return protocol{name: "REST", features: restFeature, base: func(http2 bool) *call {
		return &call{
			http2: http2, method: http.MethodPost, target: "/management/v1/users/" + userID + "/password/_initialize", host: "localhost", hasHost: true,
			headers: [][2]string{{"Authorization", "Bearer owner-token"}}, body: []byte(validBody), framing: byLength, lineEnd: "\r\n",
		}
	}}
}

func restFeature(random *rand.Rand) feature {
	pick := func(choices []string) string { return choices[random.IntN(len(choices))] }
	one := func(name string, choices []string, apply func(c *call, choice string)) func() feature {
		return func() feature {
			choice := pick(choices)
			return feature{fmt.Sprintf("%s %q", name, choice), func(c *call) { apply(c, choice) }}
		}
	}
	id := one("user id", oddIDs(), func(c *call, id string) { c.target = strings.Replace(c.target, userID, id, 1) })
	target := one("target", oddTargets(), func(c *call, target string) { c.target = target })
	body := one("body", oddBodies(), func(c *call, body string) { c.body = []byte(body) })
	mutated := func() feature {
		body := string(mutate(random, []byte(pick(oddBodies()))))
		return feature{fmt.Sprintf("body %q", body), func(c *call) { c.body = []byte(body) }}
	}
	method := one("method", []string{"GET", "PUT", "HEAD", "PATCH", "FROB", "OPTIONS", "DELETE", "post", "CONNECT", "TRACE"}, func(c *call, method string) {
		c.method = method
		if method == http.MethodHead {
			c.body = nil
		}
	})
	sibling := func() feature {
		return feature{"SetHumanPassword", func(c *call) { c.target = strings.Replace(c.target, "/_initialize", "", 1) }}
	}
	return choose(random, id, id, target, body, mutated, mutated, method, sibling,
		framingFeature(random), framingFeature(random), header(random, "Authorization", oddAuthorizations()...), header(random, "Authorization", oddAuthorizations()...),
		callerFeature(random), callerFeature(random),
		header(random, "x-zitadel-orgid", oddOrganizations()...),
		header(random, "Grpc-Metadata-x-zitadel-orgid", oddOrganizations()...),
		header(random, "Grpc-Timeout", oddTimeouts()...),
		headerLine(random, oddRESTHeaders()), headerLine(random, oddRESTHeaders()), headerLine(random, oddRESTHeaders()),
		header(random, "Content-Type", oddContentTypes()...), header(random, "Content-Type", oddContentTypes()...),
		override(random), hostFeature(random), origin(random),
		func() feature {
			return feature{"gzip body", func(c *call) { c.set("Content-Encoding", "gzip"); c.body = wiretest.Gzip(noTest{}, c.body) }}
		})
}

// headerLine adds one of the lines, as it is.
func headerLine(random *rand.Rand, lines []string) func() feature {
	return func() feature {
		line := lines[random.IntN(len(lines))]
		name, value, _ := strings.Cut(line, ": ")
		return feature{fmt.Sprintf("%q", line), func(c *call) { c.headers = append(c.headers, [2]string{name, value}) }}
	}
}

// framingFeature changes how the body is delimited. Over HTTP/2 only the frames change.
func framingFeature(random *rand.Rand) func() feature {
	return func() feature {
		switch random.IntN(7) {
		case 0:
			pieces := 1 + random.IntN(4)
			return feature{fmt.Sprintf("chunked in %d", pieces), func(c *call) { c.framing, c.pieces = chunked, pieces }}
		case 1:
			return feature{"bare LF", func(c *call) { c.lineEnd = "\n" }}
		case 2:
			return feature{"folded line", func(c *call) {
				if !c.http2 {
					c.headers = append(c.headers, [2]string{"X-Folded", "a\r\n b"})
				}
			}}
		case 3:
			return feature{"trailers", func(c *call) { c.framing, c.trailers = chunked, [][2]string{{"x-late", "1"}} }}
		case 4:
			return feature{"kept connection", func(c *call) { c.keepAlive = true }}
		}
		framing := []framing{lengthTwice, lengthsApart, both, unframed, http10, both, lengthTwice}[random.IntN(7)]
		return feature{"framing " + string(framing), func(c *call) { c.framing = framing }}
	}
}

func callerFeature(random *rand.Rand) func() feature {
	return header(random, "Authorization", "Bearer iam-token", "Bearer viewer-token", "Bearer none-token", "Bearer bad")
}

func hostFeature(random *rand.Rand) func() feature {
	return func() feature {
		if random.IntN(6) == 0 {
			return feature{"no host", func(c *call) { c.hasHost = false }}
		}
		host := []string{"", "localhost:8088", "localhost:8088:1", "nope.example", "LOCALHOST", "localhost.", "localhost:", "[::1]", "a b", "localhost/x", "münchen"}[random.IntN(11)]
		return feature{fmt.Sprintf("host %q", host), func(c *call) { c.host = host }}
	}
}

func override(random *rand.Rand) func() feature {
	return func() feature {
		method := []string{"GET", "post", "POST", "x", "DELETE"}[random.IntN(5)]
		form := []string{"application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8", "application/json"}[random.IntN(3)]
		return feature{fmt.Sprintf("override %s, %s", method, form), func(c *call) { c.set("X-HTTP-Method-Override", method); c.set("Content-Type", form) }}
	}
}

func origin(random *rand.Rand) func() feature {
	return func() feature {
		if random.IntN(2) == 0 {
			return feature{"preflight", func(c *call) {
				c.method, c.body = http.MethodOptions, nil
				c.set("Origin", "https://app.example")
				c.set("Access-Control-Request-Method", "POST")
				c.set("Access-Control-Request-Headers", "authorization,x-grpc-web")
			}}
		}
		return header(random, "Origin", "https://app.example", "null", "", "x y")()
	}
}

// mutate replaces, removes or inserts up to two bytes at random.
func mutate(random *rand.Rand, data []byte) []byte {
	for range 1 + random.IntN(2) {
		if len(data) == 0 {
			break
		}
		at := random.IntN(len(data))
		switch random.IntN(3) {
		case 0:
			data[at] = byte(random.IntN(256))
		case 1:
			data = append(data[:at], data[at+1:]...)
		default:
			data = append(data[:at], append([]byte{"\"\\{},: \n[]"[random.IntN(10)]}, data[at:]...)...)
		}
	}
	return data
}
