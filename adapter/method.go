package adapter

import (
	"context"
	_ "embed" // the description
	"path"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/v2client"
)

// Method is a deprecated v1 method that changes one user. Everything that the protocols,
// the organization rule, the rollout, logs and metrics need to know about it is here.
type Method struct {
	// Procedure is its path over gRPC and gRPC-Web.
	Procedure string
	// Pattern is its path over REST, in Echo's syntax, for POST, with the parameter user_id.
	Pattern string

	newRequest func(userID, password string) request
	// newResponse makes a response. All of these methods answer details and nothing else.
	newResponse func(*zitadelv1.ObjectDetails) response
	// validate is v1's validation of the request; nil means valid.
	validate func(request) *rpcstatus.Status
	// execute does with ZITADEL v2 what the method does, by one write.
	execute func(context.Context, Writes, v2client.Caller, request) (*objectv2.Details, error)
}

// request is a method's generated request, whatever protocol it came in.
type request interface {
	proto.Message
	GetUserId() string
	GetPassword() string
}

// response is a method's response.
type response interface {
	proto.Message
	GetDetails() *zitadelv1.ObjectDetails
}

// Name is the method's name in logs and metrics.
func (m *Method) Name() string { return path.Base(m.Procedure) }

// NewRequest returns a request as a client makes it.
func (m *Method) NewRequest(userID, password string) proto.Message {
	return m.newRequest(userID, password)
}

// Methods are all that an [Adapter] knows.
func Methods() []Method {
	return []Method{setHumanInitialPassword(), setHumanPassword()}
}

//go:embed openapi.json
var openAPI string

// OpenAPI describes the REST calls that an [Adapter] answers, as an OpenAPI 3.1 document in JSON.
// It is made from the methods' data, at generate time: see TestOpenAPIIsGenerated.
func OpenAPI() string { return openAPI }

// setUserID sets the user whom a request is about: over REST the path's, whatever the body says.
func setUserID(r request, userID string) {
	message := r.ProtoReflect()
	message.Set(message.Descriptor().Fields().ByName("user_id"), protoreflect.ValueOfString(userID))
}

// validatePassword is v1's validation of a request that sets a user's password. Its refusals
// carry no details (recordings password-empty, empty-user).
func validatePassword(r request) *rpcstatus.Status {
	const maxRunes = 72
	name, password := string(r.ProtoReflect().Descriptor().Name()), r.GetPassword()
	switch {
	case r.GetUserId() == "":
		return rpcstatus.New(connect.CodeInvalidArgument, "invalid "+name+".UserId: value length must be at least 1 runes")
	// Bytes first: counting the runes of megabytes would be work for nothing.
	case password == "" || len(password) > maxRunes*utf8.UTFMax || utf8.RuneCountInString(password) > maxRunes:
		return rpcstatus.New(connect.CodeInvalidArgument, "invalid "+name+".Password: value length must be between 1 and 72 runes, inclusive")
	}
	return nil
}
