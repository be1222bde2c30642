package passthrough_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
)

// BenchmarkTransferMemory passes 100 uploads and 100 downloads of 64 MiB each through the
// program concurrently, and reports the peak memory of the program (VmHWM of
// proc_pid_status(5)).
func BenchmarkTransferMemory(b *testing.B) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "h2c": true} {
		b.Run(name, func(b *testing.B) {
			p := start(b, plain, "upstream: {url: 'http://"+newOrigin(b, nil)+"'}")
			before := peakMiB(b, p)
			b.SetBytes(200 * 64 * mebibyte)
			for b.Loop() {
				transfer(b, p, http2)
			}
			b.ReportMetric(before, "idle-MiB")
			b.ReportMetric(peakMiB(b, p), "peak-MiB")
		})
	}
}

// transfer makes the uploads and downloads, and checks what arrives.
func transfer(b *testing.B, p *program, http2 bool) {
	b.Helper()
	var transfers sync.WaitGroup
	for range 100 {
		transfers.Go(func() {
			client := p.newHTTPClient(http2) // one connection for each transfer
			defer client.CloseIdleConnections()
			response, err := client.Get(fmt.Sprintf("http://%s/download?size=%d", p.address, 64*mebibyte))
			if err != nil {
				b.Error(err)
				return
			}
			defer func() { _ = response.Body.Close() }()
			if size, err := io.Copy(io.Discard, response.Body); size != 64*mebibyte || err != nil {
				b.Errorf("download: got %d bytes, %v, want %d", size, err, 64*mebibyte)
			}
		})
		transfers.Go(func() {
			client := p.newHTTPClient(http2)
			defer client.CloseIdleConnections()
			request, err := http.NewRequest(http.MethodPut, "http://"+p.address+"/upload", io.LimitReader(&endless{}, 64*mebibyte))
			if err != nil {
				b.Error(err)
				return
			}
			hash := sha256.New()
			_, _ = io.Copy(hash, io.LimitReader(&endless{}, 64*mebibyte))
			want := fmt.Sprintf("%d bytes, <nil>, %x", 64*mebibyte, hash.Sum(nil))
			if err := do(client, request, func(_ *http.Response, body []byte) bool { return string(body) == want }); err != nil {
				b.Error(err)
			}
		})
	}
	transfers.Wait()
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMiB returns the peak memory of the program since its start, in MiB.
func peakMiB(b *testing.B, p *program) float64 {
	b.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	match := highWater.FindSubmatch(content)
	if match == nil {
		b.Fatalf("no VmHWM in %s", content)
	}
	kib, err := strconv.ParseFloat(string(match[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}
