package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// completion prints a completion script, made of the commands and their flags.
func (p *program) completion(*flag.FlagSet) func(context.Context, string) error {
	return func(_ context.Context, shell string) error {
		switch shell {
		case "bash":
			p.completeBash(p.stdout)
		case "zsh":
			p.completeZsh(p.stdout)
		case "fish":
			p.completeFish(p.stdout)
		}
		return nil
	}
}

// flagsOf lists a command's flags.
func flagsOf(c command) []*flag.Flag {
	set := flag.NewFlagSet(c.name, flag.ContinueOnError)
	c.setup(set)
	var all []*flag.Flag
	set.VisitAll(func(f *flag.Flag) { all = append(all, f) })
	return all
}

// takesFile reports whether a flag's value is a file.
func takesFile(f *flag.Flag) bool {
	placeholder, _ := flag.UnquoteUsage(f)
	return placeholder == "FILE"
}

func takesValue(f *flag.Flag) bool {
	boolean, ok := f.Value.(interface{ IsBoolFlag() bool })
	return !ok || !boolean.IsBoolFlag()
}

func summaryOf(f *flag.Flag) string {
	_, usage := flag.UnquoteUsage(f)
	return strings.NewReplacer("'", "", "[", "(", "]", ")", ":", " -").Replace(usage)
}

func (p *program) completeBash(out io.Writer) {
	commands, files := p.commands(), map[string]bool{}
	names := make([]string, 0, len(commands))
	for _, c := range commands {
		names = append(names, c.name)
		for _, f := range flagsOf(c) {
			if takesFile(f) {
				files["--"+f.Name] = true
			}
		}
	}
	fmt.Fprint(out, "# bash completion; source <(zitadel-v1-adapter completion bash)\n_zitadel_v1_adapter() {\n"+
		"  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} words\n  case $previous in\n")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(out, "    %s) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n", name)
	}
	fmt.Fprint(out, "  esac\n  case ${COMP_WORDS[1]} in\n")
	for _, c := range p.commands() {
		words := append([]string{}, c.arguments...)
		for _, f := range flagsOf(c) {
			words = append(words, "--"+f.Name)
		}
		fmt.Fprintf(out, "    %s) words=\"%s\" ;;\n", c.name, strings.Join(words, " "))
	}
	fmt.Fprintf(out, "  esac\n  if ((COMP_CWORD == 1)); then words=\"%s\"; fi\n"+
		"  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\ncomplete -F _zitadel_v1_adapter zitadel-v1-adapter\n", strings.Join(names, " "))
}

func (p *program) completeZsh(out io.Writer) {
	fmt.Fprint(out, "#compdef zitadel-v1-adapter\n# zsh completion; put this into a file _zitadel-v1-adapter on $fpath\n"+
		"_zitadel_v1_adapter() {\n  if ((CURRENT == 2)); then\n    local -a commands=(\n")
	for _, c := range p.commands() {
		fmt.Fprintf(out, "      '%s:%s'\n", c.name, c.summary)
	}
	fmt.Fprint(out, "    )\n    _describe command commands\n    return\n  fi\n  local name=$words[2]\n  shift words\n  ((CURRENT--))\n  case $name in\n")
	for _, c := range p.commands() {
		fmt.Fprintf(out, "    %s) _arguments", c.name)
		for _, f := range flagsOf(c) {
			fmt.Fprintf(out, " '--%s[%s]", f.Name, summaryOf(f))
			switch {
			case takesFile(f):
				fmt.Fprint(out, ":file:_files'")
			case takesValue(f):
				fmt.Fprint(out, ":value:'")
			default:
				fmt.Fprint(out, "'")
			}
		}
		if c.arguments != nil {
			fmt.Fprintf(out, " '1:shell:(%s)'", strings.Join(c.arguments, " "))
		}
		fmt.Fprint(out, " ;;\n")
	}
	fmt.Fprint(out, "  esac\n}\ncompdef _zitadel_v1_adapter zitadel-v1-adapter\n")
}

func (p *program) completeFish(out io.Writer) {
	fmt.Fprint(out, "# fish completion; zitadel-v1-adapter completion fish > ~/.config/fish/completions/zitadel-v1-adapter.fish\n"+
		"complete -c zitadel-v1-adapter -f\n")
	for _, c := range p.commands() {
		fmt.Fprintf(out, "complete -c zitadel-v1-adapter -n __fish_use_subcommand -a %s -d '%s'\n", c.name, c.summary)
		only := "complete -c zitadel-v1-adapter -n '__fish_seen_subcommand_from " + c.name + "'"
		for _, f := range flagsOf(c) {
			fmt.Fprintf(out, "%s -l %s -d '%s'", only, f.Name, summaryOf(f))
			switch {
			case takesFile(f):
				fmt.Fprint(out, " -r -F")
			case takesValue(f):
				fmt.Fprint(out, " -x")
			}
			fmt.Fprintln(out)
		}
		if c.arguments != nil {
			fmt.Fprintf(out, "%s -a '%s'\n", only, strings.Join(c.arguments, " "))
		}
	}
}
