package passthrough_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// BenchmarkHugeBodies sends 200 concurrent v1 calls with bodies of 4 MiB, the largest size
// that v1 accepts, from clients without a token. It reports the peak memory of the program.
func BenchmarkHugeBodies(b *testing.B) {
	for _, contentType := range []string{"application/json", "application/grpc-web+proto"} {
		b.Run(contentType, func(b *testing.B) {
			p := start(b, plain, "upstream: {url: 'http://"+newOrigin(b, nil)+"', host: localhost:8088}\nlog: {level: error}\n")
			before := peakMiB(b, p)
			path, body := "/management/v1/users/"+userA+"/password/_initialize", []byte(`{"padding":"`+strings.Repeat("x", 4*mebibyte-20)+`"}`)
			if contentType != "application/json" {
				path = "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"
				body = append([]byte{0, 0, 0x3f, 0xff, 0xf0}, make([]byte, 0x3ffff0)...)
			}
			for b.Loop() {
				var clients sync.WaitGroup
				for range 200 {
					clients.Go(func() {
						client := p.newHTTPClient(false)
						defer client.CloseIdleConnections()
						// An error is fine: the adapter may close the connection early.
						if response, err := client.Post(p.base()+path, contentType, bytes.NewReader(body)); err == nil {
							_ = response.Body.Close()
						}
					})
				}
				clients.Wait()
			}
			b.ReportMetric(before, "before-MiB")
			b.ReportMetric(peakMiB(b, p), "peak-MiB")
		})
	}
}

// BenchmarkIdleAndSlowClients makes v1 calls while 10,000 connections are idle, 2,000 clients
// send a header at one byte a second, and 2,000 more send the body of a v1 call at that
// speed. It reports the peak memory of the program.
func BenchmarkIdleAndSlowClients(b *testing.B) {
	p := start(b, plain, "upstream: {url: 'http://"+newOrigin(b, nil)+"', host: localhost:8088}\nlog: {level: warn}\n")
	before := peakMiB(b, p)
	idle := p.open(b, 10_000, func(conn net.Conn) error {
		if _, err := io.WriteString(conn, "GET /length HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
		}
		return err
	})
	begin := func(request string) func(net.Conn) error {
		return func(conn net.Conn) error {
			_, err := io.WriteString(conn, request)
			return err
		}
	}
	slow := append(
		p.open(b, 2_000, begin("GET /length HTTP/1.1\r\nHost: x\r\nX-Slow: ")),
		p.open(b, 2_000, begin("POST /management/v1/users/"+userA+"/password/_initialize HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"))...)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
			}
			for _, conn := range slow {
				_, _ = conn.Write([]byte("x")) // fails after limits.headerTimeout or limits.bodyTimeout
			}
		}
	}()
	client := p.newHTTPClient(false)
	for b.Loop() {
		if err := callREST(b.Context(), client, p.base()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(before, "before-MiB")
	b.ReportMetric(peakMiB(b, p), "peak-MiB")
	close(stop)
	<-stopped
	client.CloseIdleConnections()
	for _, conn := range append(idle, slow...) {
		_ = conn.Close()
	}
}

// open opens connections, 50 at a time, and calls begin for each.
func (p *program) open(b *testing.B, count int, begin func(net.Conn) error) []net.Conn {
	b.Helper()
	conns := make([]net.Conn, count)
	var opening sync.WaitGroup
	for worker := range 50 {
		opening.Go(func() {
			for n := worker; n < count; n += 50 {
				conn, err := net.Dial("tcp", p.address)
				if err == nil {
					err = begin(conn)
				}
				if err != nil {
					b.Error(err)
					return
				}
				conns[n] = conn
			}
		})
	}
	opening.Wait()
	return conns
}

// BenchmarkHeadersByReference opens ten HTTP/2 connections and starts 250 v1 calls on each,
// without ever finishing them. HPACK makes their headers a hundred times as long in memory
// as on the wire. It reports the peak memory of the program.
func BenchmarkHeadersByReference(b *testing.B) {
	p := start(b, plain, "upstream: {url: 'http://"+newOrigin(b, nil)+"', host: localhost:8088}\nlog: {level: warn}\n")
	before := peakMiB(b, p)
	sent := 0
	for b.Loop() {
		for range 10 {
			var wire, block bytes.Buffer
			wire.WriteString(http2.ClientPreface)
			framer, encoder := http2.NewFramer(&wire, nil), hpack.NewEncoder(&block)
			_ = framer.WriteSettings() // writes to memory cannot fail
			for stream := range uint32(250) {
				block.Reset()
				path := "/management/v1/users/" + userA + "/password/_initialize"
				fields := append([][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "x"}, {":path", path}},
					slices.Repeat([][2]string{{"cookie", strings.Repeat("c", 3900)}}, 14)...)
				for _, field := range fields {
					_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
				}
				_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*stream + 1, BlockFragment: block.Bytes(), EndHeaders: true})
			}
			conn, err := net.Dial("tcp", p.address)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			sent += wire.Len()
			_, _ = conn.Write(wire.Bytes())
		}
		time.Sleep(time.Second) // until the program has read them
	}
	b.ReportMetric(float64(sent)/(1<<10)/float64(b.N), "sent-KiB/op")
	b.ReportMetric(before, "before-MiB")
	b.ReportMetric(peakMiB(b, p), "peak-MiB")
}
