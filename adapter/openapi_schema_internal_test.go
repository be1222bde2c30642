package adapter

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	errorv2 "zitadel-v1-adapter/gen/zitadel/error/v2"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
)

// schemas are those of the messages in JSON, by the messages' full names.
type schemas map[string]object

// addRequest adds the schema of a method's request, as protojson reads it: a field under
// either of its names, but not under both, and null for what is not set. What the path sets
// may be anything of its type.
func (s schemas) addRequest(t *testing.T, m *Method) object {
	t.Helper()
	message := m.newRequest("", "").ProtoReflect().Descriptor()
	properties, required, either := object{}, []string{}, []any{}
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		schema := object{"type": []any{inJSON(field)["type"], "null"}, "description": about(t, field)}
		inPath := slices.Contains(parameters(m), string(field.Name()))
		if limits := lengths(m, field); limits["minLength"] != nil && !inPath {
			schema["type"] = "string"
			maps.Copy(schema, limits)
			required = append(required, field.JSONName())
		}
		properties[field.JSONName()] = schema
		if name := string(field.Name()); name != field.JSONName() {
			properties[name] = schema
			either = append(either, object{"not": object{"required": []string{name, field.JSONName()}}})
		}
	}
	s[string(message.FullName())] = object{"type": "object", "properties": properties, "required": required, "allOf": either}
	return ref("schemas", string(message.FullName()))
}

// about says what a field of a request is.
func about(t *testing.T, field protoreflect.FieldDescriptor) string {
	t.Helper()
	texts := map[protoreflect.Name]string{
		"user_id":            "Without effect: the path says which user.",
		"password":           "The new password. ZITADEL's password policy asks for more.",
		"no_change_required": "Whether the user may keep the password at the next login.",
	}
	if texts[field.Name()] == "" {
		t.Errorf("the field %s is not described", field.FullName())
	}
	return texts[field.Name()]
}

// lengths are the lengths that v1's validation lets a text have, in runes. It is asked for them.
func lengths(m *Method, field protoreflect.FieldDescriptor) object {
	const most = 1000 // none of v1's limits is near
	limits := object{}
	valid := false
	for n := range most {
		ok := validates(m, field, n)
		if ok && !valid && n > 0 {
			limits["minLength"] = n
		}
		if valid && !ok {
			limits["maxLength"] = n - 1
		}
		valid = ok
	}
	return limits
}

// validates reports whether v1 takes a request with a text of n runes in a field.
func validates(m *Method, field protoreflect.FieldDescriptor, n int) bool {
	request := m.newRequest("", "")
	message := request.ProtoReflect()
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		if other := fields.Get(i); other.Kind() == protoreflect.StringKind {
			message.Set(other, protoreflect.ValueOfString("x"))
		}
	}
	if field.Kind() == protoreflect.StringKind {
		message.Set(field, protoreflect.ValueOfString(strings.Repeat("ä", n)))
	}
	return m.validate(request) == nil
}

// refusalSchema names the schema of a refusal.
const refusalSchema = "google.rpc.Status"

// addRefusal adds the schema of refusals, as rpcstatus writes them, and of ZITADEL's details.
func (s schemas) addRefusal() {
	messages := []proto.Message{&zitadelv1.ErrorDetail{}, &zitadelv1.CredentialsCheckError{}, &errorv2.ErrorDetail{}}
	types, details := make([]string, len(messages)), make([]object, len(messages), len(messages)+1)
	for i, message := range messages {
		descriptor := message.ProtoReflect().Descriptor()
		types[i], details[i] = "type.googleapis.com/"+string(descriptor.FullName()), s.addMessage(descriptor)
		schema := s[string(descriptor.FullName())]
		schema["properties"].(object)["@type"] = object{"const": types[i]}
		schema["required"] = []string{"@type"}
	}
	details = append(details, ref("schemas", "google.protobuf.Any"))
	s["google.protobuf.Any"] = object{
		"type": "object", "required": []string{"@type"}, "description": "A detail of another type, as ZITADEL sends it.",
		"properties": object{"@type": object{"type": "string", "not": object{"enum": types}}},
	}
	s[refusalSchema] = object{
		"type": "object", "required": []string{"code"}, "additionalProperties": false,
		"properties": object{
			"code":    object{"type": "integer", "description": "The gRPC code."},
			"message": object{"type": "string", "description": "What was wrong, with ZITADEL's id of the error in brackets, if it has one."},
			"details": object{"type": "array", "items": object{"anyOf": details}},
		},
	}
}

// addMessage adds the schema of a message, as protojson writes it, and those of the messages in
// it. Fields that are not set are left out.
func (s schemas) addMessage(message protoreflect.MessageDescriptor) object {
	name := string(message.FullName())
	if s[name] == nil {
		properties := object{}
		s[name] = object{"type": "object", "properties": properties, "additionalProperties": false}
		for i := range message.Fields().Len() {
			field := message.Fields().Get(i)
			properties[field.JSONName()] = inJSON(field)
			if inside := field.Message(); inside != nil && inJSON(field) == nil {
				properties[field.JSONName()] = s.addMessage(inside)
			}
		}
	}
	return ref("schemas", name)
}

// inJSON is the schema of a field that is no message of ZITADEL's (ProtoJSON's mapping); nil if
// it is one.
func inJSON(field protoreflect.FieldDescriptor) object {
	if message := field.Message(); message != nil {
		return map[protoreflect.FullName]object{
			"google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
			"google.protobuf.Struct":    {"type": "object"},
		}[message.FullName()]
	}
	return map[protoreflect.Kind]object{
		protoreflect.BoolKind:   {"type": "boolean"},
		protoreflect.Int32Kind:  {"type": "integer", "format": "int32"},
		protoreflect.Uint64Kind: {"type": "string", "pattern": "^[0-9]+$"},
		protoreflect.StringKind: {"type": "string"},
	}[field.Kind()]
}
