package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"zitadel-v1-adapter/internal/config"
)

var manFolder = flag.String("man", "", "write the man pages into this `FOLDER`, by an absolute path")

// Every command has a man page, which says what it is and names its flags. With -man they are
// kept, which is how a release gets them; the program itself has nothing to make them with.
// SOURCE_DATE_EPOCH is their date.
func TestManPages(t *testing.T) {
	t.Parallel()
	folder := cmp.Or(*manFolder, t.TempDir())
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	root := newRootCommand(nil, io.Discard, io.Discard)
	commands := documented(root)
	for _, command := range commands {
		nameValues(command)
	}
	root.DisableAutoGenTag = true
	root.Long += fmt.Sprintf(`

# ENVIRONMENT
Every key of the configuration is a variable too: **%s** is the key upstream.url. A variable overrides the file, and a flag both.
The standard variables of OpenTelemetry, such as **OTEL_EXPORTER_OTLP_ENDPOINT**, say where traces go.

# EXIT STATUS
**%d** if all is well, **%d** if it failed, **%d** after a usage error.
`, config.Variable("upstream.url"), exitOK, exitFailed, exitUsage)
	header := &doc.GenManHeader{Source: "zitadel-v1-adapter", Manual: "zitadel-v1-adapter"}
	if err := doc.GenManTree(root, header, folder); err != nil {
		t.Fatal(err)
	}
	for _, command := range commands {
		checkPage(t, folder, command)
	}
	pages, err := filepath.Glob(folder + "/*.1")
	if err != nil || len(pages) < len(commands) {
		t.Errorf("got %d pages for %d commands, %v", len(pages), len(commands), err)
	}
}

// documented are a command and those in it, without help, which needs no page.
func documented(command *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{command}
	for _, child := range command.Commands() {
		if child.IsAvailableCommand() && child.Name() != "help" {
			all = append(all, documented(child)...)
		}
	}
	return all
}

// nameValues has a flag without a default show what its value is: --listen=ADDR.
func nameValues(command *cobra.Command) {
	command.InitDefaultHelpFlag()
	command.InitDefaultVersionFlag()
	command.Flags().VisitAll(func(flag *pflag.Flag) {
		if name, _ := pflag.UnquoteUsage(flag); flag.DefValue == "" {
			flag.DefValue = name
		}
	})
}

// checkPage looks for a command's page, and in it for what the command says of itself.
func checkPage(t *testing.T, folder string, command *cobra.Command) {
	t.Helper()
	name := strings.ReplaceAll(command.CommandPath(), " ", "-")
	content, err := os.ReadFile(filepath.Join(folder, name+".1"))
	if err != nil {
		t.Error(err)
		return
	}
	page := strings.ReplaceAll(string(content), `\-`, "-")
	if command.Short == "" || !strings.Contains(page, name+" - "+command.Short) {
		t.Errorf("%s.1 does not say what it is, %q", name, command.Short)
	}
	command.Flags().VisitAll(func(flag *pflag.Flag) {
		if !strings.Contains(page, `\fB--`+flag.Name+`\fP`) {
			t.Errorf("%s.1 does not name --%s", name, flag.Name)
		}
	})
}
