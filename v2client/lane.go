package v2client

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/upstream"
)

// lane makes the one Connect call that nearly every v1 call comes to, SetPassword, without
// connect-go, in which a tenth of a translated call's time would be spent. It sends what
// connect-go sends (TestLaneSendsWhatConnectGoSends), and understands one answer: HTTP 200
// with a message. It hands any other to connect-go, which judges it as its own.
type lane struct {
	request   *http.Request // without what differs from call to call
	transport transport
	judge     userv2connect.UserServiceClient
}

func newLane(to *upstream.Upstream, transport transport, options []connect.ClientOption) *lane {
	procedure := *to.Base()
	procedure.Path += userv2connect.UserServiceSetPasswordProcedure
	if procedure.RawPath != "" {
		procedure.RawPath += userv2connect.UserServiceSetPasswordProcedure
	}
	return &lane{
		request:   &http.Request{Method: http.MethodPost, URL: &procedure, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1},
		transport: transport,
		judge:     userv2connect.NewUserServiceClient(handedOver{}, to.Base().String(), options...),
	}
}

const contentTypeProto = "application/proto"

// laneCall is most of what one call needs, in one piece of memory.
type laneCall struct {
	request        http.Request
	body           messageBody
	values         [4]string // of the header
	answer         userv2.SetPasswordResponse
	sent, received [96]byte // room for usual messages
}

func (l *lane) setPassword(ctx context.Context, header http.Header, request *userv2.SetPasswordRequest) (*userv2.SetPasswordResponse, error) {
	call := &laneCall{request: *l.request.WithContext(ctx), values: [...]string{"identity", contentTypeProto, "1", ""}}
	message, err := proto.MarshalOptions{}.MarshalAppend(call.sent[:0], request)
	if err != nil { // text that is not UTF-8: connect-go says so
		return byConnect(ctx, l.judge.SetPassword, header, request)
	}
	sent, values := &call.request, call.values[:]
	sent.Host, sent.Header, sent.ContentLength = header["Host"][0], header, int64(len(message))
	call.body.Reset(message)
	sent.Body = &call.body
	sent.GetBody = func() (io.ReadCloser, error) {
		again := new(messageBody)
		again.Reset(message)
		return again, nil
	}
	delete(header, "Host")
	header["Accept-Encoding"], header["Content-Type"], header["Connect-Protocol-Version"] = values[0:1:1], values[1:2:2], values[2:3:3]
	if deadline, ok := ctx.Deadline(); ok {
		values[3] = strconv.FormatInt(max(time.Until(deadline).Milliseconds(), 0), 10)
		header["Connect-Timeout-Ms"] = values[3:]
	}
	response, err := l.transport.Do(sent)
	if err != nil {
		return nil, err
	}
	if answer := call.understood(response); answer != nil {
		return answer, nil
	}
	return byConnect(context.WithValue(ctx, handedOverKey{}, response), l.judge.SetPassword, nil, request)
}

// messageBody is a message as a request's body.
type messageBody struct{ bytes.Reader }

// Close implements [io.Closer].
func (*messageBody) Close() error { return nil }

// understood is the message in an answer, which is closed; or nil, and the answer as it
// came.
func (c *laneCall) understood(response *http.Response) *userv2.SetPasswordResponse {
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != contentTypeProto ||
		response.Header["Content-Encoding"] != nil || response.ContentLength < 0 || response.ContentLength > maxAnswerBytes {
		return nil
	}
	body := slices.Grow(c.received[:0], int(response.ContentLength))[:response.ContentLength]
	n, err := io.ReadFull(response.Body, body)
	if err == nil {
		_, err = response.Body.Read(nil) // the end
	}
	if (err == nil || err == io.EOF) && proto.Unmarshal(body, &c.answer) == nil {
		_ = response.Body.Close()
		return &c.answer
	}
	unread(response, body[:n])
	return nil
}

// handedOver gives connect-go the answer that its context holds.
type handedOver struct{}

type handedOverKey struct{}

func (handedOver) Do(request *http.Request) (*http.Response, error) {
	_ = request.Body.Close()
	response, _ := request.Context().Value(handedOverKey{}).(*http.Response)
	return response, nil
}
