package adapter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
)

// procedure is the path of the translated call over gRPC and gRPC-Web.
const procedure = managementv1connect.ManagementServiceSetHumanInitialPasswordProcedure

// grpcHandler speaks gRPC and gRPC-Web. connect-go does the work of both; what
// stands before it reads the request as v1's grpc-go does, where the two read
// differently.
type grpcHandler struct {
	useCase *setHumanInitialPassword
	journal *journal
	connect http.Handler
	errors  errorWriter
}

func newGRPCHandler(useCase *setHumanInitialPassword, journal *journal) *grpcHandler {
	h := &grpcHandler{useCase: useCase, journal: journal, errors: newErrorWriter(journal.log)}
	h.connect = connect.NewUnaryHandler(procedure, h.setHumanInitialPassword,
		connect.WithCodec(wireCodec{}),
		// v1 does not compress answers, and these are tens of bytes.
		connect.WithCompressMinBytes(maxMessageBytes),
	)
	return h
}

// rpcProtocol tells gRPC from gRPC-Web by the Content-Type, as ZITADEL's router
// does; "" is neither.
func rpcProtocol(r *http.Request) string {
	if r.Method != http.MethodPost {
		return ""
	}
	contentType := r.Header.Get("Content-Type")
	switch {
	case isGRPCWebText(contentType):
		return "grpc-web-text"
	case strings.HasPrefix(contentType, "application/grpc-web"):
		return "grpc-web"
	case r.ProtoMajor == 2 && (contentType == "application/grpc" ||
		// grpc-go has no JSON codec and takes the message for protobuf.
		contentType == "application/grpc+proto" || contentType == "application/grpc+json"):
		return "grpc"
	}
	return ""
}

// serve answers a request that rpcProtocol knows, for any path.
func (h *grpcHandler) serve(w http.ResponseWriter, r *http.Request, protocol string) {
	rec := newRecord(protocol, r)
	if r.URL.Path == procedure {
		defer func() { h.journal.write(r.Context(), rec) }()
	}
	timeout, limited, err := grpcTimeout(r.Header.Get("Grpc-Timeout"))
	if err != nil {
		rec.status = newStatus(connect.CodeInternal, "malformed grpc-timeout: "+err.Error())
		http.Error(w, rec.status.message, http.StatusBadRequest)
		return
	}
	budget := budgetOf(r)
	if protocol != "grpc-web-text" {
		h.serveBinary(w, r, rec, timeout, limited, budget)
		return
	}
	text := newGRPCWebTextWriter(w)
	h.serveBinary(text, decodeGRPCWebText(r), rec, timeout, limited, budget)
	text.close() // not deferred: a panic gets an answer of its own
}

// serveBinary answers a request of gRPC, or of gRPC-Web in binary mode, which
// timeout may limit.
func (h *grpcHandler) serveBinary(w http.ResponseWriter, r *http.Request, rec *record, timeout time.Duration, limited bool, budget *bodyBudget) {
	r.Header.Set("Content-Type", protobufContentType(rec.protocol, r.Header.Get("Content-Type")))
	if r.URL.Path != procedure {
		h.errors.writeRPC(w, r, unknownMethod(r.URL.Path))
		return
	}
	encoding := r.Header.Get("Grpc-Encoding")
	refusal := checkEncoding(encoding)
	var message []byte
	if refusal == nil {
		message, refusal = readFrame(r.Body, encoding, budget)
		if limited && time.Since(rec.started) >= timeout { // whatever came in the meantime
			refusal = newStatus(connect.CodeDeadlineExceeded, context.DeadlineExceeded.Error())
		}
	}
	if refusal != nil {
		rec.status = refusal
		h.errors.writeRPC(w, r, refusal)
		return
	}
	setNoStore(w.Header())
	r.Header.Del("Grpc-Encoding")
	r.Body = io.NopCloser(bytes.NewReader(frame(message)))
	ctx := context.WithValue(r.Context(), exchangeKey{}, &exchange{record: rec, host: r.Host})
	h.connect.ServeHTTP(w, r.WithContext(ctx))
}

// protobufContentType is what connect-go is shown, and answers with: the only
// codec is protobuf, with or without the suffix that names it.
func protobufContentType(protocol, sent string) string {
	base := "application/grpc"
	if protocol != "grpc" {
		base = "application/grpc-web"
	}
	if strings.Contains(sent, "+") {
		return base + "+proto"
	}
	return base
}

// exchange carries what the handler needs besides the message through
// connect-go.
type exchange struct {
	record *record
	host   string
}

type exchangeKey struct{}

// setHumanInitialPassword is the handler behind connect-go.
func (h *grpcHandler) setHumanInitialPassword(ctx context.Context, request *connect.Request[wireRequest]) (*connect.Response[managementv1.SetHumanInitialPasswordResponse], error) {
	through, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok {
		return nil, connect.NewError(connect.CodeInternal, errors.New("call without exchange"))
	}
	if err := request.Msg.err; err != nil {
		through.record.status = newStatus(connect.CodeInternal, "grpc: error unmarshalling request: "+stableProtoText(err))
		return nil, through.record.status.connectError()
	}
	caller := through.record.callerOf(through.host, request.Header().Get)
	response, refusal := h.useCase.run(ctx, caller, &request.Msg.SetHumanInitialPasswordRequest, through.record)
	if refusal != nil {
		return nil, refusal.connectError()
	}
	return connect.NewResponse(response), nil
}

// unknownMethod is grpc-go's status for a path that no service has.
func unknownMethod(path string) *status {
	service, method, ok := cutLast(strings.TrimPrefix(path, "/"))
	switch {
	case !ok:
		return newStatus(connect.CodeUnimplemented, fmt.Sprintf("malformed method name: %q", path))
	case service == managementv1connect.ManagementServiceName:
		return newStatus(connect.CodeUnimplemented, fmt.Sprintf("unknown method %s for service %s", method, service))
	default:
		return newStatus(connect.CodeUnimplemented, "unknown service "+service)
	}
}

func cutLast(path string) (before, after string, ok bool) {
	at := strings.LastIndexByte(path, '/')
	if at < 0 {
		return "", "", false
	}
	return path[:at], path[at+1:], true
}

// wireRequest is the request as it came. That it could not be read is known only
// to the handler, because connect-go would answer with its own code and words
// (recording garbage-message).
type wireRequest struct {
	managementv1.SetHumanInitialPasswordRequest

	err error
}

// wireCodec is protobuf for wireRequest and for responses.
type wireCodec struct{}

func (wireCodec) Name() string { return "proto" }

func (wireCodec) Marshal(message any) ([]byte, error) {
	known, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a protobuf message", message)
	}
	return proto.Marshal(known)
}

func (wireCodec) Unmarshal(data []byte, message any) error {
	switch message := message.(type) {
	case *wireRequest:
		message.err = proto.Unmarshal(data, &message.SetHumanInitialPasswordRequest)
		return nil
	case proto.Message:
		return proto.Unmarshal(data, message)
	}
	return fmt.Errorf("%T is not a protobuf message", message)
}
