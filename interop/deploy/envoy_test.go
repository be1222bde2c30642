package deploy_test

import (
	"regexp"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	managerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
	"sigs.k8s.io/yaml"
)

// Envoy's own definitions know every field of its recipes, and accept the values. The v1
// calls go to the adapter; so does all else in the recipe for all traffic, and to ZITADEL in
// the other one. No Envoy is run: no registry of packages has one.
func TestEnvoyRecipes(t *testing.T) {
	t.Parallel()
	for file, others := range map[string]string{"envoy.yaml": "zitadel", "all-traffic.yaml": "zitadel-v1-adapter"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			routes := envoyRoutes(t, file)
			for path, want := range map[string]string{
				"/management/v1/users/3001/password":                                      "zitadel-v1-adapter",
				"/management/v1/users/3001/password/_initialize":                          "zitadel-v1-adapter",
				"/zitadel.management.v1.ManagementService/SetHumanPassword":               "zitadel-v1-adapter",
				"/zitadel.management.v1.ManagementService/SetHumanInitialPassword":        "zitadel-v1-adapter",
				"/management/v1/users/3001/password/_reset":                               others,
				"/management/v1/users/3001/a/password":                                    others,
				"/ui/management/v1/users/3001/password":                                   others,
				"/zitadel.management.v1.ManagementService/SetHumanInitialPasswordForever": others,
				"/oauth/v2/token": others,
			} {
				if got := clusterOf(routes, path); got != want {
					t.Errorf("%s goes to %q, want %q", path, got, want)
				}
			}
		})
	}
}

// envoyRoutes reads a recipe, checks all of its messages, and returns its routes.
func envoyRoutes(t *testing.T, file string) []*routev3.Route {
	t.Helper()
	document, err := yaml.YAMLToJSONStrict(read(t, "envoy/"+file))
	if err != nil {
		t.Fatal(err)
	}
	var bootstrap bootstrapv3.Bootstrap
	if err := protojson.Unmarshal(document, &bootstrap); err != nil {
		t.Fatal(err)
	}
	var routes []*routev3.Route
	err = protorange.Range(bootstrap.ProtoReflect(), func(values protopath.Values) error {
		message, ok := values.Index(-1).Value.Interface().(protoreflect.Message)
		if !ok {
			return nil
		}
		if manager, ok := message.Interface().(*managerv3.HttpConnectionManager); ok {
			routes = manager.GetRouteConfig().GetVirtualHosts()[0].GetRoutes()
		}
		if checked, ok := message.Interface().(interface{ Validate() error }); ok {
			return checked.Validate()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return routes
}

// clusterOf returns where a path goes: Envoy takes the first route that matches, and an
// expression must match the whole path.
func clusterOf(routes []*routev3.Route, path string) string {
	for _, route := range routes {
		match := route.GetMatch()
		if expression := match.GetSafeRegex(); expression != nil && regexp.MustCompile(`^(?:`+expression.GetRegex()+`)$`).MatchString(path) ||
			expression == nil && strings.HasPrefix(path, match.GetPrefix()) {
			return route.GetRoute().GetCluster()
		}
	}
	return ""
}
