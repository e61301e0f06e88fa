package config

import (
	"fmt"
	"strings"
)

const referenceHead = `# Agent configuration

<!-- Generated from agent/config: run "go test ./agent/config -update" after a change there. -->

Settings come from these sources; later ones win, maps are merged and lists grow:

1. the defaults below,
2. files, in the order of ` + "`-config-file` and `-config-dir`" + ` (in a directory, ` + "`*.hcl` and `*.json`" + ` in the order of their names),
3. the environment: ` + "`DEBROS_` and the key in capitals, with `_` for `.`" + ` (` + "`ports.http` is `DEBROS_PORTS_HTTP`" + `); lists are
   separated by commas, maps are ` + "`key:value`" + ` pairs separated by commas; an empty variable is no setting,
4. flags.

Files are HCL, or JSON when their name ends in ` + "`.json`" + `. Durations are text such as ` + "`\"10s\"`, `\"1m30s\"` or `\"200ms\"`" + `. A key that
does not exist, a value of another type and a contradiction are errors; ` + "`debros validate`" + ` reports all of them.
Keys marked † take effect on reload (SIGHUP or ` + "`debros reload`" + `); all others need a restart.
`

// Reference is the reference of all keys in Markdown, as the documentation site shows it.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("\n## Top level\n")
	table(&b, "")
	for _, s := range keys().sections {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", s.key, s.doc)
		table(&b, s.key)
	}
	return b.String()
}

func table(b *strings.Builder, section string) {
	first := true
	for _, f := range keys().fields {
		if f.section != section {
			continue
		}
		if first {
			b.WriteString("\n| key | type | default | flag | meaning |\n|---|---|---|---|---|\n")
			first = false
		}
		key, flag, meaning := "`"+f.key+"`", "", f.doc
		if f.reload {
			key += " †"
		}
		if f.flag != "" {
			flag = "`-" + f.flag + "`"
		}
		if len(f.envs) > 1 {
			meaning += " Also `" + f.envs[1] + "` in the environment."
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", key, f.kind, cell(f.shownDefault()), flag, cell(meaning))
	}
}

// shownDefault is the default in words or in HCL's syntax.
func (f *field) shownDefault() string {
	if f.unset != "" {
		return f.unset
	}
	switch {
	case f.kind == kindString && f.def == "", f.kind == kindList, f.kind == kindMap:
		return ""
	case f.kind == kindString:
		return "`\"" + f.def + "\"`"
	case f.kind == kindDuration && f.def == "":
		return "`\"0s\"`"
	case f.kind == kindDuration:
		return "`\"" + f.def + "\"`"
	case f.kind == kindBool && f.def == "":
		return "`false`"
	case f.def == "":
		return "`0`"
	}
	return "`" + f.def + "`"
}

// cell escapes what would end a table's cell or open HTML.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;").Replace(s)
}
