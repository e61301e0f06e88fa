package command

import (
	"flag"
	"fmt"
	"strings"
)

// Help implements cli.Command: the text is made of the description and the flags themselves.
func (c *cmd) Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: debros %s%s\n\n", c.name, c.usageTail())
	fmt.Fprintf(&b, "  %s.\n", c.synopsis)
	if text := strings.TrimSpace(c.help); text != "" {
		b.WriteString("\n" + indent(text, "  ") + "\n")
	}
	title := "\nCommands:\n"
	for _, make := range registry() {
		sub := make()
		if rest, ok := strings.CutPrefix(sub.name, c.name+" "); ok && !strings.Contains(rest, " ") {
			fmt.Fprintf(&b, "%s    %-18s  %s\n", title, rest, sub.synopsis)
			title = ""
		}
	}
	if c.run == nil {
		return b.String()
	}
	own, common := c.flagGroups()
	writeFlags(&b, "Options", own)
	writeFlags(&b, "Options of every command that asks an agent", common)
	return b.String()
}

// HelpTemplate implements cli.CommandHelpTemplate: Help lists the commands of a group itself.
func (c *cmd) HelpTemplate() string { return "{{.Help}}" }

func (c *cmd) usageTail() string {
	if c.run == nil {
		return " <command> [options]"
	}
	tail := " [options]"
	if c.args != "" {
		tail += " " + c.args
	}
	return tail
}

// flagGroups splits the flags into the command's own and the common ones.
func (c *cmd) flagGroups() (own, common []*flag.Flag) {
	var isCommon commonFlags
	names, mine := flag.NewFlagSet("", flag.ContinueOnError), flag.NewFlagSet("", flag.ContinueOnError)
	isCommon.add(names)
	if c.flags != nil {
		c.flags(mine)
	}
	(&call{cmd: c}).flagSet().VisitAll(func(f *flag.Flag) {
		if !c.local && names.Lookup(f.Name) != nil && mine.Lookup(f.Name) == nil {
			common = append(common, f)
		} else {
			own = append(own, f)
		}
	})
	return own, common
}

func writeFlags(b *strings.Builder, title string, flags []*flag.Flag) {
	if len(flags) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	for _, f := range flags {
		fmt.Fprintf(b, "  -%s\n        %s\n", flagForm(f), flagText(f))
	}
}

// flagForm is "name=<value>", or "name" for a boolean.
func flagForm(f *flag.Flag) string {
	value, _ := flag.UnquoteUsage(f)
	if value == "" {
		return f.Name
	}
	return f.Name + "=<" + value + ">"
}

func flagText(f *flag.Flag) string {
	_, text := flag.UnquoteUsage(f)
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
		text += " (default " + f.DefValue + ")"
	}
	return text
}

func indent(text, by string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if l != "" {
			lines[i] = by + l
		}
	}
	return strings.Join(lines, "\n")
}
