package telemetry

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// check is what a variable must be, if it is set.
type check struct {
	names []string
	valid func(value string) bool
	want  string // what would be right
}

// validate finds the mistakes in variables of which the SDK would write the value, which may be
// secret, to standard error, and in those that [New] reads. The SDK reports the others.
func validate() error {
	checks := []check{
		{[]string{"OTEL_TRACES_EXPORTER"}, oneOf("otlp", "none"), "otlp or none"},
		{variants("PROTOCOL"), oneOf("http/protobuf", "http/json", protocolGRPC), "http/protobuf, http/json or grpc"},
		{variants("ENDPOINT"), isEndpoint, "a URL such as http://collector:4318, without a password"},
		{variants("HEADERS"), areHeaders, "name=value, with commas between, and %XX for what is special in a value"},
	}
	var mistakes []error
	for _, check := range checks {
		for _, name := range check.names {
			if value := variable(name); value != "" && !check.valid(value) {
				mistakes = append(mistakes, fmt.Errorf("%s: use %s", name, check.want))
			}
		}
	}
	return errors.Join(mistakes...)
}

func oneOf(values ...string) func(string) bool {
	return func(value string) bool { return slices.Contains(values, value) }
}

// isEndpoint takes what gRPC takes too, such as "collector:4317" or "dns:///collector:4317",
// only for gRPC. Passwords in it would be dropped.
func isEndpoint(value string) bool {
	endpoint, err := url.Parse(value)
	if err != nil || endpoint.User != nil {
		return false
	}
	return protocol() == protocolGRPC || (endpoint.Scheme == "http" || endpoint.Scheme == "https") && endpoint.Host != ""
}

func areHeaders(value string) bool {
	for header := range strings.SplitSeq(value, ",") {
		name, value, found := strings.Cut(header, "=")
		decoded, err := url.PathUnescape(value)
		if !found || err != nil || !httpguts.ValidHeaderFieldName(strings.TrimSpace(name)) || !httpguts.ValidHeaderFieldValue(decoded) {
			return false
		}
	}
	return true
}
