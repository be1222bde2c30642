package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

// environmentPrefix begins the variable of every key.
const environmentPrefix = "V1ADAPTER_"

// Variable is the environment variable of a key: V1ADAPTER_UPSTREAM_URL for upstream.url.
func Variable(key string) string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// Keys lists the path of every key, in the order of the structs.
func Keys() []string {
	var keys []string
	for _, field := range fieldsOf(reflect.ValueOf(Config{}), "") {
		keys = append(keys, field.key)
	}
	return keys
}

// Changes lists the keys whose values differ.
func Changes(from, to Config) []string {
	var changed []string
	after := fieldsOf(reflect.ValueOf(to), "")
	for i, before := range fieldsOf(reflect.ValueOf(from), "") {
		if !reflect.DeepEqual(before.value.Interface(), after[i].value.Interface()) {
			changed = append(changed, before.key)
		}
	}
	return changed
}

// serviceLink is a variable that Kubernetes sets in every pod for a Service whose name begins
// with "v1adapter".
var serviceLink = regexp.MustCompile(
	`^` + environmentPrefix + `(.*_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// ServiceLinks names the variables of environ, in the form of os.Environ, that Kubernetes
// has set for a Service, and that set no key for all their prefix.
func ServiceLinks(environ []string) []string {
	var links []string
	for _, entry := range environ {
		if name, _, _ := strings.Cut(entry, "="); serviceLink.MatchString(name) {
			links = append(links, name)
		}
	}
	return links
}

// environmentOverrides finds the variables that set keys. One with the prefix that sets no key
// is an error, like an unknown key in the file, unless it is one of ServiceLinks.
func environmentOverrides(environ []string) (overrides []Override, unknown []error) {
	keys := map[string]string{} // by variable
	for _, key := range Keys() {
		keys[Variable(key)] = key
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		key, known := keys[name]
		switch {
		case known:
			overrides = append(overrides, Override{Key: key, Value: value, From: name})
		case strings.HasPrefix(name, environmentPrefix) && !serviceLink.MatchString(name):
			unknown = append(unknown, fmt.Errorf("%s: no such key: a variable is %s and the key's path in capitals with _, such as %s",
				name, environmentPrefix, Variable("upstream.url")))
		}
	}
	return overrides, unknown
}
