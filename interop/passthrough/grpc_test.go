package passthrough_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// connectGRPC connects grpc-go's client until the test ends; trust is nil for plain text.
func connectGRPC(t *testing.T, address string, trust *tls.Config) *grpc.ClientConn {
	t.Helper()
	conn, err := newGRPCConn(address, trust)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// gRPC's interoperability tests pass through the adapter, with grpc-go's client and server.
// Their functions exit the process on failure.
func TestGRPCInteroperability(t *testing.T) {
	t.Parallel()
	for name, encrypted := range map[string]bool{"h2c": false, "HTTP/2 over TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, encrypted)
			conn := connectGRPC(t, p.through, p.trust)
			ctx, client := t.Context(), testgrpc.NewTestServiceClient(conn)
			for range 3 {
				interop.DoEmptyUnaryCall(ctx, client)
				interop.DoLargeUnaryCall(ctx, client)
				interop.DoClientStreaming(ctx, client)
				interop.DoServerStreaming(ctx, client)
				interop.DoPingPong(ctx, client)
				interop.DoEmptyStream(ctx, client)
				interop.DoTimeoutOnSleepingServer(ctx, client)
				interop.DoCancelAfterBegin(ctx, client)
				interop.DoCancelAfterFirstResponse(ctx, client)
				interop.DoCustomMetadata(ctx, client)
				interop.DoStatusCodeAndMessage(ctx, client)
				interop.DoSpecialStatusMessage(ctx, client)
				interop.DoUnimplementedMethod(ctx, conn)
				interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(conn))
			}
		})
	}
}

// Status, details, headers and trailers of a failed stream and of a failed unary call are the
// same through the adapter as directly from the upstream.
func TestGRPCErrorsPassUnchanged(t *testing.T) {
	t.Parallel()
	for name, encrypted := range map[string]bool{"h2c": false, "HTTP/2 over TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, encrypted)
			p.compare(t, func(t *testing.T, address string) string {
				t.Helper()
				client := testgrpc.NewTestServiceClient(connectGRPC(t, address, p.trust))
				ctx := metadata.AppendToOutgoingContext(t.Context(), "fail", "1")
				stream, err := client.FullDuplexCall(ctx)
				if err != nil {
					t.Fatal(err)
				}
				_, err = stream.Recv()
				header, _ := stream.Header()
				failure := status.Convert(err)
				if failure.Code() != codes.FailedPrecondition {
					t.Errorf("got error %v, want code %v", err, codes.FailedPrecondition)
				}
				out := fmt.Sprintf("%v %q %v\n%v\n%v\n", failure.Code(), failure.Message(), failure.Details(), clean(header), stream.Trailer())

				var unaryHeader, unaryTrailer metadata.MD
				_, err = client.UnaryCall(context.WithoutCancel(t.Context()), &testgrpc.SimpleRequest{
					ResponseStatus: &testgrpc.EchoStatus{Code: 2, Message: "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"},
				}, grpc.Header(&unaryHeader), grpc.Trailer(&unaryTrailer))
				return out + fmt.Sprintf("%v\n%v\n%v", err, clean(unaryHeader), unaryTrailer)
			})
		})
	}
}

// clean returns headers without the date, which differs between calls. Trailers may be announced in
// several fields or in one (RFC 9110 section 5.3), and in any order: ReverseProxy has them from a map.
func clean(header metadata.MD) metadata.MD {
	header = header.Copy()
	header.Delete("date")
	if announced := header.Get("trailer"); announced != nil {
		announced = strings.Split(strings.Join(announced, ", "), ", ")
		slices.Sort(announced)
		header.Set("trailer", announced...)
	}
	return header
}
