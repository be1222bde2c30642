package telemetry

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// validate finds the mistakes in variables of which the SDK would write the value, which may be
// secret, to standard error, and in those that [New] reads. The SDK reports the others.
func validate() error {
	var mistakes []error
	for _, check := range []struct {
		names []string
		valid func(value string) bool
		want  string // what would be right
	}{
		{[]string{"OTEL_TRACES_EXPORTER"}, regexp.MustCompile("^(otlp|none)$").MatchString, "otlp or none"},
		{variants("PROTOCOL"), regexp.MustCompile("^(http/protobuf|http/json|grpc)$").MatchString, "http/protobuf, http/json or grpc"},
		{variants("ENDPOINT"), isEndpoint, "a URL such as http://collector:4318, without a password"},
		{variants("HEADERS"), areHeaders, "name=value, with commas between, and %XX for what is special in a value"},
	} {
		for _, name := range check.names {
			if value := variable(name); value != "" && !check.valid(value) {
				mistakes = append(mistakes, fmt.Errorf("%s: use %s", name, check.want))
			}
		}
	}
	return errors.Join(mistakes...)
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
