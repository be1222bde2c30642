package adapter

import (
	"context"
	"path"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

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
	// Pattern is its path over REST, in Echo's syntax, always for POST, with the parameter user_id.
	Pattern string

	// newRequest makes a request.
	newRequest func(userID, password string) request
	// newResponse makes a response. All of these methods answer details and nothing
	// else.
	newResponse func(*zitadelv1.ObjectDetails) response
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
	return m.newRequest(userID, password).message()
}

// request is a method's request, whatever protocol it came in.
type request interface {
	// message is the request as protobuf.
	message() proto.Message
	// userID is the user that the method changes. Over REST it is the path's, whatever the body
	// says.
	userID() string
	setUserID(id string)
	// validate is v1's validation of the request; nil means valid.
	validate() *rpcstatus.Status
	// execute does with ZITADEL v2 what the method does, by one write.
	execute(ctx context.Context, zitadel Writes, caller v2client.Caller) (*objectv2.Details, error)
}

// Methods are all that an [Adapter] knows.
func Methods() []Method {
	return []Method{setHumanInitialPassword(), setHumanPassword()}
}

// MethodNames are the names of [Methods], as [Event].Method has them.
func MethodNames() []string {
	all := Methods()
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Name()
	}
	return names
}

// invalid is a refusal of v1's request validation. It carries no details (recordings
// password-empty, empty-user).
func invalid(message string) *rpcstatus.Status {
	return rpcstatus.New(connect.CodeInvalidArgument, message)
}

// validatePassword is v1's validation of a request of this name that sets a user's
// password.
func validatePassword(name, userID, password string) *rpcstatus.Status {
	if userID == "" {
		return invalid("invalid " + name + ".UserId: value length must be at least 1 runes")
	}
	const maxRunes = 72
	// Bytes first: counting the runes of megabytes would be work for nothing.
	if password == "" || len(password) > maxRunes*utf8.UTFMax || utf8.RuneCountInString(password) > maxRunes {
		return invalid("invalid " + name + ".Password: value length must be between 1 and 72 runes, inclusive")
	}
	return nil
}
