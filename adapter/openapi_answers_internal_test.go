package adapter

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/v1wire"
)

func sortedKeys(of object) []string { return slices.Sorted(maps.Keys(of)) }

// answers are a method's, by HTTP status; success is the schema of its response.
func answers(success object) object {
	all := object{
		"200": object{
			"description": "The password is set.",
			"headers":     headers("Cache-Control", "Expires", "Pragma", "X-Robots-Tag", "Vary", "X-Request-Id"),
			"content":     object{"application/json": object{"schema": success}},
		},
	}
	for status := range refusals() {
		all[status] = ref("responses", status)
	}
	return all
}

func preflightAnswers() object {
	return object{
		"204": object{
			"description": "The page may send the call.",
			"headers": headers("Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers",
				"Access-Control-Allow-Credentials", "X-Robots-Tag", "Vary"),
		},
		"405": ref("responses", "405"),
	}
}

// headers are references to those of these names, and to those that announce the end of v1.
func headers(names ...string) object {
	all := object{}
	for _, name := range slices.Concat(names, deprecationHeaders()) {
		all[name] = ref("headers", name)
	}
	return all
}

// deprecationHeaders are all that the section deprecation can add to every answer.
func deprecationHeaders() []string {
	made := deprecation{fields: http.Header{}}
	return slices.DeleteFunc(made.headers(), func(name string) bool { return name == "Retry-After" })
}

// answerHeaders are the headers of answers, by name.
func answerHeaders(t *testing.T) object {
	t.Helper()
	text := func(description string, required bool, schema object) object {
		schema["type"] = "string"
		header := object{"required": required, "schema": schema}
		if description != "" {
			header["description"] = description
		}
		return header
	}
	all := object{
		"Cache-Control":    text("", true, object{"const": "no-store"}),
		"Expires":          text("The time of the answer.", true, object{}),
		"Pragma":           text("", true, object{"const": "no-cache"}),
		"X-Robots-Tag":     text("", true, object{"const": "none"}),
		"Vary":             text("", true, object{}),
		"Location":         text("The same path without empty and dot segments.", true, object{"pattern": "^/"}),
		"Retry-After":      text("In how many seconds to try again, if that is known.", false, object{"pattern": "^[1-9][0-9]*$"}),
		"WWW-Authenticate": text("The refusal's message.", true, object{}),
		"X-Request-Id":     text("The id of the call in the adapter's log. Native v1 does not send it.", false, object{}),
		"Deprecation":      text("Since when v1 is deprecated (RFC 9745), if deprecation.since is set.", false, object{"pattern": "^@-?[0-9]+$"}),
		"Sunset":           text("When v1 ends (RFC 8594), if deprecation.sunset is set.", false, object{}),
		"Link":             text("Pages about the deprecation, the end and the successor, as far as the section deprecation names them.", false, object{"pattern": `^<.+>; rel="(deprecation|sunset|successor-version)"`}),
		"Warning":          text("What to use instead, in words, if deprecation.since is set.", false, object{"pattern": "^299 - "}),

		"Access-Control-Allow-Origin":      text("The page's origin: every one may call.", true, object{}),
		"Access-Control-Allow-Methods":     text("", true, object{}),
		"Access-Control-Allow-Headers":     text("", false, object{}),
		"Access-Control-Allow-Credentials": text("", true, object{"const": "true"}),
	}
	for _, name := range deprecationHeaders() {
		if all[name] == nil {
			t.Errorf("the header %s is not described", name)
		}
	}
	return all
}

// refusals are the answers to what no method does, by HTTP status, the same for all methods:
// each gRPC code's, which say why, and those of HTTP alone.
func refusals() object {
	why := map[int]string{
		http.StatusBadRequest: "The request cannot be read, or is not valid (code 3, without details). The password breaks ZITADEL's policy (code 3, DOMAIN-...). " +
			"The organization has no such human (code 9, " + idPasswordNotFound + "), or one that is not initialized (code 9, " + idNotInitialized + ").",
		http.StatusUnauthorized:     "There is no token, no bearer token (" + idNoBearer + "), or one that ZITADEL does not know (AUTH-7fs1e).",
		http.StatusForbidden:        "The caller has roles in the organization, but none that may write users (AUTH-5mWD2), or there is no such organization (AUTH-Bs7Ds).",
		http.StatusNotFound:         "The caller has no role in the organization (" + idMembershipNotFound + "), there is no ZITADEL instance of the name, or nothing at the path.",
		http.StatusMethodNotAllowed: "The path takes POST alone.",
		http.StatusGone:             "v1 has ended (deprecation.sunset, with deprecation.afterSunset: refuse).",
		http.StatusTooManyRequests: "The caller calls too often (limits.callerRate), or the request is larger than " +
			strconv.Itoa(v1wire.MaxMessageBytes>>20) + " MiB.", //nolint:mnd // bytes
		http.StatusInternalServerError: "ZITADEL failed, or cannot hash the password: it has more than 72 bytes (COMMAND-CahN2).",
		http.StatusServiceUnavailable:  "ZITADEL is unavailable, the adapter has too much to do (limits.callsInFlight), or v1 is refused for a while (deprecation.brownouts).",
		http.StatusGatewayTimeout:      "The call took longer than the Grpc-Timeout header or upstream.timeout allow. The password may have been set.",
	}
	codes := map[int][]int{ // those that are not the codes' own
		http.StatusMethodNotAllowed: {int(connect.CodeUnimplemented)},
		http.StatusGone:             {int(connect.CodeUnimplemented)},
	}
	for code := connect.CodeCanceled; code <= connect.CodeUnauthenticated; code++ {
		codes[rpcstatus.HTTPStatus(code)] = append(codes[rpcstatus.HTTPStatus(code)], int(code))
	}
	all := object{"301": object{
		"description": "The path has empty or dot segments, such as those of a base URL that ends in a slash.",
		"headers":     object{"Location": ref("headers", "Location")},
	}}
	for status, known := range codes {
		text, told := why[status]
		if !told {
			text = "ZITADEL answered with this code."
		}
		all[strconv.Itoa(status)] = refusal(status, known, text)
	}
	return all
}

// refusal is the answer with an HTTP status, for one of some codes.
func refusal(status int, codes []int, why string) object {
	var more []string
	switch status {
	case http.StatusUnauthorized:
		more = []string{"WWW-Authenticate"}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		more = []string{"Retry-After"}
	}
	content := object{"application/json": object{"schema": object{
		"allOf":      []any{ref("schemas", refusalSchema)},
		"properties": object{"code": object{"enum": codes}},
	}}}
	if status == http.StatusBadRequest { // a path that cannot be decoded is no request yet
		content["text/plain"] = object{"schema": object{"type": "string", "pattern": "^400 Bad Request"}}
	}
	return object{"description": why, "headers": headers(more...), "content": content}
}

// The description lists the headers that are sent.
func TestDescribedDeprecationHeadersAreSent(t *testing.T) {
	t.Parallel()
	at := time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)
	made, err := newDeprecation(Deprecation{Since: at, Sunset: at, Link: "https://l", BrownoutPercent: RolloutAll})
	if err != nil {
		t.Fatal(err)
	}
	sent := slices.Sorted(maps.Keys(made.fields))
	if described := deprecationHeaders(); !slices.Equal(sent, slices.Sorted(slices.Values(described))) {
		t.Errorf("described are %q, sent are %q", described, sent)
	}
}
