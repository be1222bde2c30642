package reference_test

import (
	"os"
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
		{"`CONNECT` is refused with HTTP 405", func(c *call, _ string) bool { return c.method == "CONNECT" }},
		{"What passes through may be framed in another way", func(c *call, class string) bool {
			if strings.HasPrefix(class, "interim answers") {
				return true
			}
			path, _, _ := strings.Cut(c.target, "?")
			return !slices.ContainsFunc([]string{"/SetHumanInitialPassword", "/SetHumanPassword", "/password/_initialize", "/password"}, func(end string) bool {
				return strings.HasSuffix(path, end)
			})
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
