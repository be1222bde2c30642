package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// workload is what a client does again and again, on a connection of its own.
type workload interface {
	connect(ctx context.Context, address string) (client, error)
}

// client does what its workload says, one exchange after the other. An answer that is not the
// one wanted is an error.
type client interface {
	exchange() error
	io.Closer
}

// httpRequest is a workload over HTTP/1.1.
type httpRequest struct {
	bytes []byte // as they are sent
	want  string // the answer's body begins so
}

func newRequest(method, path, body, want string, header ...string) httpRequest {
	lines := append([]string{method + " " + path + " HTTP/1.1", "Host: localhost", "User-Agent: bench", "Accept: */*"}, header...)
	if body != "" {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	return httpRequest{[]byte(strings.Join(lines, "\r\n") + "\r\n\r\n" + body), want}
}

func (r httpRequest) connect(ctx context.Context, address string) (client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	const buffered = 64 << 10 // for large answers
	size := 4 << 10
	if strings.HasPrefix(r.want, "xxxx") {
		size = buffered
	}
	return &httpClient{Conn: conn, request: r, reader: bufio.NewReaderSize(conn, size), buffer: make([]byte, size)}, nil
}

type httpClient struct {
	net.Conn

	request httpRequest
	reader  *bufio.Reader
	buffer  []byte
}

func (c *httpClient) exchange() error {
	if _, err := c.Write(c.request.bytes); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	want := c.request.want
	n, err := io.ReadAtLeast(response.Body, c.buffer, len(want))
	if err != nil || response.StatusCode != http.StatusOK || string(c.buffer[:len(want)]) != want {
		return fmt.Errorf("answered %s %q (%w), not %q", response.Status, c.buffer[:n], err, want)
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, response.Body, c.buffer)
	return err
}

// grpcCall is a workload over gRPC: a call that is answered with details.
type grpcCall struct {
	procedure string
	request   proto.Message
	// answer makes a message to read a response into, and what then tells its sequence,
	// which must be 2.
	answer func() (into proto.Message, sequence func() uint64)
}

func (c grpcCall) connect(ctx context.Context, address string) (client, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &grpcClient{conn, c, metadata.AppendToOutgoingContext(ctx, "authorization", bearer, "x-zitadel-orgid", organization)}, nil
}

type grpcClient struct {
	*grpc.ClientConn

	call grpcCall
	ctx  context.Context //nolint:containedctx // its metadata are the same in every call
}

func (c *grpcClient) exchange() error {
	into, sequence := c.call.answer()
	if err := c.Invoke(c.ctx, c.call.procedure, c.call.request, into); err != nil {
		return err
	}
	if sequence() != 2 {
		return fmt.Errorf("answered %v", into)
	}
	return nil
}
