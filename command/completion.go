package command

import (
	"context"
	"flag"
	"fmt"
	"sort"
	"strings"
)

// completionScript asks the program itself for the words that may follow, so it never grows old.
func completionScript(shell string) (script string, ok bool) {
	switch shell {
	case "bash":
		return bashCompletion, true
	case "zsh":
		return zshCompletion, true
	case "fish":
		return fishCompletion, true
	}
	return "", false
}

const bashCompletion = `# bash completion for debros; put it into a file that ~/.bashrc reads.
_debros() {
    local IFS=$'\n'
    COMPREPLY=($(debros completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -o default -F _debros debros
`

const zshCompletion = `#compdef debros
# zsh completion for debros; put it into a file _debros in a directory of $fpath.
_debros() {
    local -a found
    found=("${(@f)$(debros completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n $found ]]; then compadd -S '' -- $found; else _files; fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _debros "$@"; else compdef _debros debros; fi
`

const fishCompletion = `# fish completion for debros; put it into ~/.config/fish/completions/debros.fish.
complete -c debros -a '(debros completion words -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`

func completionCommand() *cmd {
	return &cmd{
		name: "completion", args: "bash | zsh | fish", synopsis: "Print a script for the shell's completion", local: true, noFormat: true, min: 1, max: -1,
		help: `Nothing is installed: put the script where your shell looks for it.

  debros completion bash > ~/.local/share/bash-completion/completions/debros`,
		run: func(_ context.Context, c *call) error {
			if c.args[0] == "words" { // what the scripts call; not for people
				for _, w := range completions(c.args[1:]) {
					fmt.Fprintln(c.Stdout, w)
				}
				return nil
			}
			script, ok := completionScript(c.args[0])
			if !ok || len(c.args) > 1 {
				return usagef("completion: want one of bash, zsh and fish")
			}
			_, err := fmt.Fprint(c.Stdout, script)
			return err
		},
	}
}

// completions are the words that may stand for the last of words, which is not complete.
func completions(words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last, before := words[len(words)-1], leadingWords(words[:len(words)-1])
	found := map[string]bool{}
	if strings.HasPrefix(last, "-") {
		if c := longestCommand(before); c != nil && c.run != nil {
			(&call{cmd: c}).flagSet().VisitAll(func(f *flag.Flag) {
				word := "-" + f.Name
				if value, _ := flag.UnquoteUsage(f); value != "" {
					word += "="
				}
				found[word] = strings.HasPrefix(word, "-"+strings.TrimLeft(last, "-"))
			})
		}
	} else {
		prefix := strings.Join(append(before, ""), " ")
		for _, make := range registry() {
			if rest, ok := strings.CutPrefix(make().name, prefix); ok {
				word, _, _ := strings.Cut(rest, " ")
				found[word] = strings.HasPrefix(word, last)
			}
		}
	}
	var out []string
	for w, ok := range found {
		if ok && w != "" {
			out = append(out, w)
		}
	}
	sort.Strings(out)
	return out
}

// longestCommand is the command that the words name, arguments after it allowed.
func longestCommand(words []string) *cmd {
	for n := len(words); n > 0; n-- {
		for _, make := range registry() {
			if c := make(); c.name == strings.Join(words[:n], " ") {
				return c
			}
		}
	}
	return nil
}
