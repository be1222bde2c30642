package rpcstatus

import (
	"encoding/base64"
	"io"
	"net/http"
	"strings"
)

// TextWriter turns an answer in gRPC-Web's binary mode into its text mode, which is
// base64 (PROTOCOL-WEB.md of gRPC). connect-go has no text mode.
type TextWriter struct {
	http.ResponseWriter

	body        io.WriteCloser
	wroteHeader bool
}

// NewTextWriter makes a TextWriter. The end of the answer must be told by Close.
func NewTextWriter(w http.ResponseWriter) *TextWriter {
	return &TextWriter{ResponseWriter: w, body: base64.NewEncoder(base64.StdEncoding, w)}
}

// WriteHeader sends the headers, with text mode's Content-Type.
func (w *TextWriter) WriteHeader(status int) {
	if !w.wroteHeader {
		w.wroteHeader = true
		header := w.Header()
		header.Set("Content-Type", strings.Replace(header.Get("Content-Type"), "application/grpc-web", "application/grpc-web-text", 1))
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *TextWriter) Write(data []byte) (int, error) {
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	return w.body.Write(data)
}

// Close writes the last group of the body.
func (w *TextWriter) Close() {
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	_ = w.body.Close() // a client that is gone needs no answer
}
