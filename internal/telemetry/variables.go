package telemetry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// What is wrong in a variable, the SDK would write to standard error, with the value, or
// pass over.

// check is what a variable must be, if it is set.
type check struct {
	names []string
	valid func(value string) bool
	want  string // what would be right
}

// validate finds every mistake in the variables.
func validate() error {
	checks := []check{
		{[]string{"OTEL_TRACES_EXPORTER"}, oneOf("otlp", "none"), "otlp or none"},
		{variants("PROTOCOL"), oneOf("http/protobuf", "http/json", protocolGRPC), "http/protobuf, http/json or grpc"},
		{variants("ENDPOINT"), isEndpoint, "a URL such as http://collector:4318, without a password"},
		{variants("HEADERS"), areHeaders, "name=value, with commas between, and %XX for what is special in a value"},
		{variants("TIMEOUT"), isNumber, "milliseconds, such as 10000"},
		{variants("COMPRESSION"), oneOf("gzip", "none"), "gzip or none"},
		{variants("INSECURE"), isBool, "true or false"},
		{variants("CERTIFICATE"), isCertificate, "a file with certificates in PEM"},
		{[]string{"OTEL_SDK_DISABLED"}, isBool, "true or false"},
		{[]string{"OTEL_TRACES_SAMPLER"}, isSampler, strings.Join(samplers, ", ")},
		{[]string{"OTEL_TRACES_SAMPLER_ARG"}, isShare, "a share from 0 to 1"},
		{[]string{
			"OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
		}, isNumber, "a number"},
	}
	var mistakes []error
	for _, check := range checks {
		for _, name := range check.names {
			if value := variable(name); value != "" && !check.valid(value) {
				mistakes = append(mistakes, fmt.Errorf("%s: use %s", name, check.want))
			}
		}
	}
	keys := variants("CLIENT_KEY")
	for i, name := range variants("CLIENT_CERTIFICATE") {
		certificate, key := variable(name), variable(keys[i])
		if certificate == "" && key == "" {
			continue
		}
		if _, err := tls.LoadX509KeyPair(certificate, key); err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s, %s: use files with a certificate in PEM and its key", name, keys[i]))
		}
	}
	return errors.Join(mistakes...)
}

var samplers = []string{
	"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio",
}

func isSampler(value string) bool { return slices.Contains(samplers, strings.ToLower(value)) }

func oneOf(values ...string) func(string) bool {
	return func(value string) bool { return slices.Contains(values, value) }
}

func isBool(value string) bool {
	return strings.EqualFold(value, "true") || strings.EqualFold(value, "false")
}

func isNumber(value string) bool {
	number, err := strconv.Atoi(value)
	return err == nil && number > 0
}

func isShare(value string) bool {
	share, err := strconv.ParseFloat(value, 64)
	return err == nil && share >= 0 && share <= 1
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

func isCertificate(file string) bool {
	content, err := os.ReadFile(file) //nolint:gosec // the operator names it
	return err == nil && x509.NewCertPool().AppendCertsFromPEM(content)
}
