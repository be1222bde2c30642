package config

import (
	"fmt"
	"reflect"
	"strings"
)

// environmentPrefix stands before the variable of every key.
const environmentPrefix = "V1ADAPTER_"

// Variable is the environment variable of a key: V1ADAPTER_UPSTREAM_URL for
// upstream.url.
func Variable(key string) string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// Keys lists the path of every key, in the order of the structs.
func Keys() []string { return keysOf(reflect.TypeFor[Config](), "") }

func keysOf(of reflect.Type, prefix string) []string {
	var keys []string
	for field := range of.Fields() {
		key := prefix + field.Tag.Get("yaml")
		if field.Type.Kind() == reflect.Struct {
			keys = append(keys, keysOf(field.Type, key+".")...)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

// environmentOverrides finds the variables that set keys. One with the prefix
// that sets none is an error, like an unknown key in the file.
func environmentOverrides(environ []string) ([]Override, error) {
	byVariable := map[string]string{}
	for _, key := range Keys() {
		byVariable[Variable(key)] = key
	}
	var overrides []Override
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, environmentPrefix) {
			continue
		}
		key, ok := byVariable[name]
		if !ok {
			return nil, fmt.Errorf("%s: no such key: a variable is %s and the key's path in capitals with _, such as %s",
				name, environmentPrefix, Variable("upstream.url"))
		}
		overrides = append(overrides, Override{Key: key, Value: value})
	}
	return overrides, nil
}
