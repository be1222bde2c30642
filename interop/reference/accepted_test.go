package reference_test

import (
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// accepted is a difference that docs/differences.md names.
type accepted struct {
	// sentence is in docs/differences.md, but for its line breaks.
	sentence string
	// covers reports whether it explains a class of differences. It is nil for what is not
	// compared at all.
	covers func(c *call, class string) bool
}

// translated are the ends of the paths that the adapter answers itself.
var translated = regexp.MustCompile(`/management/v1/+users/+[^/]*/*password(/+_initialize)?$|/SetHuman(Initial)?Password$`)

func acceptedDifferences() []accepted {
	return []accepted{
		{"`Grpc-Metadata-*` and `Grpcgateway-*` response headers and the quota cookie are not reproduced.", nil},
		{"gRPC's answers do not announce their trailers in a `Trailer` header.", func(c *call, class string) bool {
			return !strings.Contains(c.target, "/management/v1") && class == "header trailer: announced, not none"
		}},
		{"A path that is v1's in another spelling, such as `/%6Danagement/v1/`, is answered as v1's.", func(c *call, _ string) bool {
			return strings.HasPrefix(c.target, "/%6Danagement/")
		}},
		{"Over HTTP/2, REST has no trailers: native v1's refusals with `TE: trailers` never end there.", nil},
		{"Browsers may read the status of a refused gRPC-Web call from another origin, which v1 forgets to allow", nil},
		{"Hosts come from the request alone, and `upstream.host` decides", func(c *call, _ string) bool {
			return c.host != "localhost" || !c.hasHost || slices.ContainsFunc(c.headers, func(header [2]string) bool {
				name, isMetadata := strings.CutPrefix(strings.ToLower(header[0]), "grpc-metadata-")
				return name == "host" || isMetadata && (strings.Contains(name, "forwarded") || name == "x-zitadel-instance-host")
			})
		}},
		{"Of `Grpc-Metadata-X` beside `X`, native v1 takes either, at random", func(c *call, _ string) bool {
			return slices.ContainsFunc(c.headers, func(header [2]string) bool {
				name, isMetadata := strings.CutPrefix(strings.ToLower(header[0]), "grpc-metadata-")
				return isMetadata && slices.ContainsFunc(c.headers, func(other [2]string) bool { return strings.EqualFold(other[0], name) })
			})
		}},
		{"Of several malformed binary headers, either names any", func(c *call, _ string) bool {
			malformed := 0
			for _, header := range c.headers {
				if strings.HasSuffix(strings.ToLower(header[0]), "-bin") {
					malformed++
				}
			}
			return malformed > 1
		}},
		{"REST answers of more than 2 KiB, which only repeat what could not be read, come with a length", func(c *call, class string) bool {
			return len(c.body) > 2<<10 && (strings.HasPrefix(class, "end") || strings.HasPrefix(class, "header content-length"))
		}},
		{"On a gRPC path, an `OPTIONS` that asks for `x-grpc-web` but is no preflight is HTTP 404", func(c *call, _ string) bool {
			return c.method == "OPTIONS" && c.get("Access-Control-Request-Method") == ""
		}},
		{"`CONNECT` is refused with HTTP 405", func(c *call, _ string) bool { return c.method == "CONNECT" }},
		{"What passes through may be framed in another way", func(c *call, class string) bool {
			if strings.HasPrefix(class, "interim answers") {
				return true
			}
			path, _, _ := strings.Cut(c.target, "?")
			decoded, err := url.PathUnescape(path)
			return err == nil && !translated.MatchString(decoded)
		}},
	}
}

// The accepted differences are those of docs/differences.md.
func TestAcceptedDifferencesAreDocumented(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	document := strings.Join(strings.Fields(string(content)), " ")
	for _, each := range acceptedDifferences() {
		if !strings.Contains(document, each.sentence) {
			t.Errorf("docs/differences.md does not say: %s", each.sentence)
		}
	}
}

func isAccepted(c *call, class string) bool {
	for _, each := range acceptedDifferences() {
		if each.covers != nil && each.covers(c, class) {
			return true
		}
	}
	return false
}
