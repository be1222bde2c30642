package deploy_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
)

// checkRoutesAll checks that a route has all paths, and tells gRPC by the content types by which
// ZITADEL's router does.
func checkRoutesAll(t *testing.T, route gatewayv1.HTTPRoute) {
	t.Helper()
	var got []string
	for _, rule := range route.Spec.Rules {
		for _, match := range rule.Matches {
			parts := make([]string, 0, 1+len(match.Headers))
			parts = append(parts, string(*match.Path.Type)+" "+*match.Path.Value)
			for _, header := range match.Headers {
				parts = append(parts, string(header.Name)+": "+header.Value)
			}
			got = append(got, strings.Join(parts, " "))
		}
	}
	const all, grpc = "PathPrefix /", "PathPrefix / Content-Type: application/grpc"
	if want := []string{grpc, grpc + "+proto", grpc + "+json", all}; !slices.Equal(got, want) {
		t.Errorf("got the matches %v, want %v", got, want)
	}
}

// checkRoutes checks that routes lead all methods to the Service, and gateways' TLS too.
func checkRoutes(t *testing.T, objects manifests) {
	t.Helper()
	for _, route := range objects.Routes {
		for _, rule := range route.Spec.Rules {
			for _, backend := range rule.BackendRefs {
				port := servicePort(objects.Services[0], func(port corev1.ServicePort) bool { return port.Port == *backend.Port })
				if want := map[bool]string{true: "grpc", false: "http"}[*rule.Matches[0].Path.Type == gatewayv1.PathMatchExact || rule.Matches[0].Headers != nil]; string(backend.Name) != objects.Services[0].Name || port != want {
					t.Errorf("the route leads to %s, port %q, want %s, port %q", backend.Name, port, objects.Services[0].Name, want)
				}
			}
		}
		if *route.Spec.Rules[1].Matches[0].Path.Value == "/" {
			checkRoutesAll(t, route)
			continue
		}
		checkRoutedPaths(t, route)
	}
	for _, policy := range objects.TLSPolicies {
		for _, target := range policy.Spec.TargetRefs {
			name := servicePort(objects.Services[0], func(port corev1.ServicePort) bool { return port.Name == string(*target.SectionName) })
			if string(target.Name) != objects.Services[0].Name || name == "" {
				t.Errorf("the policy is about %+v, want a port of %s", target, objects.Services[0].Name)
			}
		}
		if len(policy.Spec.TargetRefs) != 2 || policy.Spec.Validation.Hostname == "" {
			t.Errorf("got the policy %+v, want one for the ports http and grpc with a name", policy.Spec)
		}
	}
}

// servicePort is the name of the port for which a function is true.
func servicePort(service corev1.Service, is func(corev1.ServicePort) bool) string {
	for _, port := range service.Spec.Ports {
		if is(port) {
			return port.Name
		}
	}
	return ""
}

// checkRoutedPaths checks that a route has the paths of all methods that the adapter
// translates, in each protocol.
func checkRoutedPaths(t *testing.T, route gatewayv1.HTTPRoute) {
	t.Helper()
	var exact []string
	rest := func(string) bool { return false }
	for _, rule := range route.Spec.Rules {
		for _, match := range rule.Matches {
			switch path := *match.Path.Value; *match.Path.Type {
			case gatewayv1.PathMatchExact:
				exact = append(exact, path)
			case gatewayv1.PathMatchRegularExpression:
				rest = regexp.MustCompile("^(?:" + path + ")$").MatchString
			case gatewayv1.PathMatchPathPrefix:
				rest = func(of string) bool { return strings.HasPrefix(of, path+"/") }
			}
		}
	}
	slices.Sort(exact)
	if want := procedures(); !slices.Equal(exact, want) {
		t.Errorf("the route has the paths %v, want those of the methods, %v", exact, want)
	}
	for path, want := range map[string]bool{
		"/management/v1/users/3001/password": true, "/management/v1/users/3001/password/_initialize": true,
		"/management/v1/orgs/me": false, "/oauth/v2/token": false,
	} {
		if rest(path) != want {
			t.Errorf("%s is routed to the adapter: %v, want %v", path, !want, want)
		}
	}
}

// procedures are the paths of all methods that the adapter translates, in gRPC, in order.
func procedures() []string {
	service := managementv1.File_zitadel_management_v1_management_proto.Services().Get(0)
	all := make([]string, 0, service.Methods().Len())
	for i := range service.Methods().Len() {
		all = append(all, fmt.Sprintf("/%s/%s", service.FullName(), service.Methods().Get(i).Name()))
	}
	slices.Sort(all)
	return all
}

// checkIngresses checks that they lead all methods to the Service, those of gRPC to its port for
// HTTP/2, for each of the same hosts.
func checkIngresses(t *testing.T, objects manifests) {
	t.Helper()
	paths := map[string][]string{} // by host
	for _, ingress := range objects.Ingresses {
		for _, rule := range ingress.Spec.Rules {
			for _, path := range rule.HTTP.Paths {
				backend := path.Backend.Service
				if backend.Name != objects.Services[0].Name {
					t.Errorf("%s leads to the Service %s, want %s", path.Path, backend.Name, objects.Services[0].Name)
				}
				paths[rule.Host] = append(paths[rule.Host], fmt.Sprintf("%s %s to %s", *path.PathType, path.Path, backend.Port.Name))
			}
		}
	}
	want := procedures()
	for i, procedure := range want {
		want[i] = "Exact " + procedure + " to grpc"
	}
	want = slices.Insert(want, 0, "Prefix /management/v1/users to http")
	for host, got := range paths {
		if !slices.Equal(got, want) {
			t.Errorf("%s: got the paths %v, want %v", host, got, want)
		}
	}
	if len(objects.Ingresses) > 0 && len(paths) == 0 {
		t.Error("the Ingresses have no hosts")
	}
}
