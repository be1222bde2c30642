package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what is printed for the files in testdata/wrong")

// testdata/wrong has files with mistakes, NAME.yaml, and after each what is printed for it, NAME.txt. With
// -update, that is made to be what is printed.
func TestWrongFiles(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob("testdata/wrong/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var want []txtar.File
		for _, file := range archive.Files {
			if name, wrong := strings.CutSuffix(file.Name, ".yaml"); wrong {
				count++
				want = append(want, file, txtar.File{Name: name + ".txt", Data: []byte(printedFor(t, file))})
			}
		}
		archive.Files = want
		made := txtar.Format(archive)
		if *update {
			if err := os.WriteFile(path, made, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(content) != string(made) {
			t.Errorf("%s: want what is printed, which -update writes:\n%s", path, made)
		}
	}
	if count < 60 {
		t.Errorf("got %d wrong files, want 60", count)
	}
}

// printedFor is what the program prints for a wrong file, in which $DIR is an empty folder.
func printedFor(t *testing.T, file txtar.File) string {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "config.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(file.Data), "$DIR", folder)), 0o600); err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	if code := run([]string{"check", "--offline", "--config", path}, nil, io.Discard, &printed); code != exitFailed {
		t.Errorf("%s: exit code %d, want %d", file.Name, code, exitFailed)
	}
	return strings.NewReplacer(folder+"/", "", folder, "$DIR").Replace(printed.String())
}
