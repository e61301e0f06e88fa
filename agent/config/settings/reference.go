package settings

import (
	"fmt"
	"strings"
)

// Reference is a table of all keys in Markdown for each block, under headings of the second level. Keys
// that take effect on reload are marked †.
func (s *Schema) Reference() string {
	var b strings.Builder
	b.WriteString("\n## Top level\n")
	s.table(&b, "")
	for _, block := range s.sections {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", block.key, block.doc)
		s.table(&b, block.key)
	}
	return b.String()
}

func (s *Schema) table(b *strings.Builder, section string) {
	first := true
	for _, f := range s.fields {
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
