// Package gen and the packages below it are generated from proto/ and checked
// in. `go generate ./...` reproduces them with the tools pinned in
// tools/go.mod; CI fails when the result differs.
package gen

//go:generate go tool -modfile=../tools/go.mod buf generate --template ../proto/buf.gen.yaml ../proto
