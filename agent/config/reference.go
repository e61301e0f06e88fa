package config

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
func Reference() string { return referenceHead + schema().Reference() }
