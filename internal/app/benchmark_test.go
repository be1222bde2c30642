package app_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"zitadel-v1-adapter/adapter"
	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/config"
)

const organization = "400850336480234533"

// BenchmarkRequest is one request on a keep-alive connection through all of the adapter, to
// an upstream that answers at once. Neither side of it allocates: what is counted is the
// adapter's.
func BenchmarkRequest(b *testing.B) {
	initialize := "POST /management/v1/users/400850336480234534/password/_initialize HTTP/1.1\r\nHost: localhost\r\n" +
		"User-Agent: legacy/1.0\r\nAccept: */*\r\nAuthorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789\r\n" +
		"Content-Type: application/json\r\nX-Zitadel-Orgid: " + organization + "\r\nContent-Length: 29\r\n\r\n" +
		`{"password":"Sup3rPassw0rd!"}`
	passes := "GET /passes HTTP/1.1\r\nHost: localhost\r\nUser-Agent: legacy/1.0\r\nAccept: */*\r\n\r\n"
	for _, each := range []struct{ name, orgScope, request string }{
		{"translated, off", "off", initialize},
		{"translated, strict", "strict", initialize},
		{"passed", "strict", passes},
	} {
		b.Run(each.name, func(b *testing.B) {
			conn := dialApp(b, each.orgScope)
			reader := bufio.NewReader(conn)
			request := []byte(each.request)
			exchange := func() {
				if _, err := conn.Write(request); err != nil {
					b.Fatal(err)
				}
				if err := skipMessage(reader, "HTTP/1.1 200 OK"); err != nil {
					b.Fatal(err)
				}
			}
			exchange() // the first one opens a connection, and asks whose token it is
			b.ReportAllocs()
			for b.Loop() {
				exchange()
			}
		})
	}
}

// dialApp starts an adapter before an upstream, and connects to it.
func dialApp(b *testing.B, orgScope string) net.Conn {
	b.Helper()
	settings := config.Default()
	settings.Server.Listen, settings.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	settings.Upstream.URL = "http://" + serveCanned(b)
	settings.OrgScope = adapter.OrgScope(orgScope)
	running, err := app.Start(b.Context(), app.Config{Settings: settings, Stderr: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	conn, err := net.Dial("tcp", running.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}

// serveCanned answers as a ZITADEL on whose user every caller may write.
func serveCanned(b *testing.B) string {
	b.Helper()
	details, err := proto.Marshal(&userv2.SetPasswordResponse{Details: &objectv2.Details{
		Sequence: 2, ChangeDate: timestamppb.Now(), ResourceOwner: organization,
	}})
	if err != nil {
		b.Fatal(err)
	}
	user, err := proto.Marshal(&userv2.GetUserByIDResponse{Details: &objectv2.Details{ResourceOwner: organization}})
	if err != nil {
		b.Fatal(err)
	}
	const protobuf, json = "application/proto", "application/json"
	answers := []struct{ to, answer []byte }{
		{[]byte("POST /zitadel.user.v2.UserService/SetPassword "), canned(protobuf, details)},
		{[]byte("POST /zitadel.user.v2.UserService/GetUserByID "), canned(protobuf, user)},
		{[]byte("GET /auth/v1/users/me "), canned(json, []byte(`{"user":{"id":"7","details":{"resourceOwner":"`+organization+`"}}}`))},
		{[]byte("POST /auth/v1/permissions/zitadel/me/_search "), canned(json, []byte(`{"result":["user.write"]}`))},
		{[]byte("GET /"), canned(json, []byte(`{"details":{"sequence":"2"}}`))},
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listener.Close() })
	serve := func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		reader := bufio.NewReader(conn)
		for {
			const longest = 48 // of the beginnings
			begin, err := reader.Peek(longest)
			if err != nil {
				return
			}
			answer := answers[len(answers)-1].answer
			for _, each := range answers {
				if bytes.HasPrefix(begin, each.to) {
					answer = each.answer
					break
				}
			}
			if skipMessage(reader, "") != nil {
				return
			}
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return listener.Addr().String()
}

func canned(contentType string, body []byte) []byte {
	return append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", contentType, len(body)), body...)
}

// skipMessage reads an HTTP/1.1 message, and compares its first line's beginning.
func skipMessage(reader *bufio.Reader, begin string) error {
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte(begin)) {
		return errors.New(string(line))
	}
	length := 0
	for {
		const longest = len("\r\n")
		line, err = reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= longest {
			_, err := reader.Discard(length)
			return err
		}
		if value, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
}
