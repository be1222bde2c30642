package deploy_test

import (
	"slices"
	"testing"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// checkRoutesAll checks that a route has all paths, and tells gRPC by the content types by which
// ZITADEL's router does.
func checkRoutesAll(t *testing.T, route gatewayv1.HTTPRoute) {
	t.Helper()
	var got []string
	for _, rule := range route.Spec.Rules {
		for _, match := range rule.Matches {
			text := string(*match.Path.Type) + " " + *match.Path.Value
			for _, header := range match.Headers {
				text += " " + string(header.Name) + ": " + header.Value
			}
			got = append(got, text)
		}
	}
	const all, grpc = "PathPrefix /", "PathPrefix / Content-Type: application/grpc"
	if want := []string{grpc, grpc + "+proto", grpc + "+json", all}; !slices.Equal(got, want) {
		t.Errorf("got the matches %v, want %v", got, want)
	}
}
