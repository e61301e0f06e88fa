package command

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/mitchellh/cli"

	"github.com/debros/debros/internal/version"
)

// registry is every command. A command is made anew for each use: its flags are its state.
func registry() []func() *cmd {
	return []func() *cmd{
		agentCommand,
		backupCommand,
		completionCommand,
		connectCommand,
		debugCommand,
		group("dht", "The distributed table of the overlay"),
		dhtFindPeerCommand,
		dhtGetCommand,
		dhtProvidersCommand,
		dhtPutCommand,
		disconnectCommand,
		group("event", "Tell every agent of something that has happened"),
		eventFireCommand,
		eventListCommand,
		forceLeaveCommand,
		healthCommand,
		infoCommand,
		joinCommand,
		keygenCommand,
		keyringCommand,
		group("kv", "Read and write keys"),
		kvDeleteCommand,
		kvExportCommand,
		kvGetCommand,
		kvImportCommand,
		kvListCommand,
		kvPutCommand,
		leaveCommand,
		lockCommand,
		membersCommand,
		monitorCommand,
		group("network", "The overlay of peers"),
		networkStatusCommand,
		group("namespace", "Make, list and delete namespaces"),
		namespaceCreateCommand,
		namespaceDeleteCommand,
		namespaceListCommand,
		namespaceReadCommand,
		namespaceUpdateCommand,
		group("operator", "Look after the servers of the cluster"),
		group("operator autopilot", "How the leader looks after the servers"),
		autopilotGetCommand,
		autopilotHealthCommand,
		autopilotSetCommand,
		autopilotStateCommand,
		group("operator raft", "The servers that decide"),
		raftListPeersCommand,
		raftRecoverCommand,
		raftRemovePeerCommand,
		raftTransferLeaderCommand,
		operatorVerifyCommand,
		peerIDCommand,
		peersCommand,
		pingCommand,
		group("pubsub", "Publish and subscribe to messages, and keep those of durable topics"),
		publishCommand,
		requestCommand,
		group("pubsub stream", "Durable topics: messages that go through Raft and are kept"),
		group("pubsub stream consumer", "Places of readers in a stream"),
		consumerAckCommand,
		consumerCreateCommand,
		consumerDeleteCommand,
		streamCreateCommand,
		streamDeleteCommand,
		streamInfoCommand,
		streamListCommand,
		streamPurgeCommand,
		streamReplayCommand,
		streamUpdateCommand,
		subscribeCommand,
		subscribersCommand,
		topicsCommand,
		reloadCommand,
		restoreCommand,
		rttCommand,
		group("session", "Make and end sessions"),
		sessionCreateCommand,
		sessionDestroyCommand,
		sessionInfoCommand,
		sessionListCommand,
		sessionRenewCommand,
		group("snapshot", "Save, restore and inspect the state of the cluster"),
		snapshotExtractCommand,
		snapshotInspectCommand,
		snapshotRestoreCommand,
		snapshotSaveCommand,
		sqlCommand,
		sqlChangesCommand,
		group("sql database", "Make, list and delete databases"),
		sqlDatabaseCreateCommand,
		sqlDatabaseDeleteCommand,
		sqlDatabaseListCommand,
		sqlDatabaseReadCommand,
		sqlDatabaseUpdateCommand,
		sqlExportCommand,
		sqlBackupCommand,
		sqlImportCommand,
		sqlMigrateCommand,
		sqlRestoreCommand,
		txnCommand,
		validateCommand,
		versionCommand,
		watchCommand,
	}
}

// group is a word that other commands begin with.
func group(name, synopsis string) func() *cmd {
	return func() *cmd { return &cmd{name: name, synopsis: synopsis, local: true, noFormat: true} }
}

// Main runs the command line args (without the program's name) and returns the exit status.
func Main(args []string) int {
	return Run(args, IO{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
}

// Run is Main with the given streams.
func Run(args []string, io IO) int {
	if len(args) == 1 && (args[0] == "-v" || args[0] == "-version" || args[0] == "--version") {
		args = []string{"version"}
	}
	args = fromOldNames(args)
	words := leadingWords(args)
	if len(words) > 0 {
		c := longestCommand(words)
		if c == nil {
			name := strings.Join(words, " ")
			printError(io.Stderr, fmt.Sprintf("there is no command %q", name), nearest(name))
			return exitUsage
		}
		if c.child {
			args = fenceChild(c, args)
		}
	}
	commands := map[string]cli.CommandFactory{}
	for _, make := range registry() {
		commands[make().name] = func() (cli.Command, error) {
			c := make()
			c.io = io
			return c, nil
		}
	}
	c := &cli.CLI{
		Name:     "debros",
		Version:  version.Version(),
		Args:     args,
		Commands: commands,
		HelpFunc: helpText,
		// Help that was asked for goes to stdout; help that answers a mistake, to stderr.
		HelpWriter:  helpWriter(args, io),
		ErrorWriter: io.Stderr,
	}
	status, err := c.Run()
	if err != nil {
		printError(io.Stderr, err.Error(), "")
		return exitFailed
	}
	if status == 127 { // what the library answers when there is no command in args
		return exitUsage
	}
	return status
}

// fenceChild puts "--" before the arguments of a command that runs a child, lest the library take the
// child's -h for its own.
func fenceChild(c *cmd, args []string) []string {
	n := len(strings.Fields(c.name))
	fs := (&call{cmd: c}).flagSet()
	if fs.Parse(args[n:]) != nil {
		return args
	}
	at := len(args) - fs.NArg()
	if at > n && args[at-1] == "--" {
		return args
	}
	return slices.Insert(slices.Clone(args), at, "--")
}

func helpWriter(args []string, io IO) io.Writer {
	for _, a := range args {
		if a == "--" {
			break
		}
		if a == "-h" || a == "-help" || a == "--help" {
			return io.Stdout
		}
	}
	return io.Stderr
}

// helpText lists the commands of one level.
func helpText(commands map[string]cli.CommandFactory) string {
	var b strings.Builder
	b.WriteString("Usage: debros [-version] [-help] <command> [options] [arguments]\n\nCommands:\n")
	names := make([]string, 0, len(commands))
	for name := range commands {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		c, err := commands[name]()
		if err == nil {
			fmt.Fprintf(&b, "    %-12s  %s\n", name, c.Synopsis())
		}
	}
	return b.String()
}

func leadingWords(args []string) []string {
	n := 0
	for n < len(args) && !strings.HasPrefix(args[n], "-") {
		n++
	}
	return args[:n]
}

// nearest suggests the command that shares the longest beginning with name.
func nearest(name string) string {
	best, length := "", 2 // a letter or two in common are no likeness
	for _, make := range registry() {
		c := make().name
		n := 0
		for n < len(c) && n < len(name) && c[n] == name[n] {
			n++
		}
		if n > length {
			best, length = c, n
		}
	}
	if best == "" {
		return "'debros -help' lists the commands"
	}
	return "did you mean 'debros " + best + "'? 'debros -help' lists the commands"
}

// Reference is the page of the documentation that lists every command with its help, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString("# Command line\n\nMade from the help texts of `debros` itself.\n\n" +
		"Results go to standard output, everything else to standard error. Exit status: 0 done, 1 failed, 2 a command\n" +
		"line that makes no sense. `-format=json` gives every result as JSON. `NO_COLOR` is respected.\n" +
		"Options may stand before, between and after the arguments; what follows `--` is an argument.\n")
	list := registry()
	slices.SortStableFunc(list, func(a, c func() *cmd) int { return strings.Compare(a().name, c().name) })
	var common string
	for _, make := range list {
		c := make()
		fmt.Fprintf(&b, "\n## debros %s\n\n```\n", c.name)
		text, rest, _ := strings.Cut(c.Help(), "\nOptions of every command that asks an agent:\n")
		b.WriteString(strings.TrimRight(text, "\n"))
		b.WriteString("\n```\n")
		if rest != "" {
			b.WriteString("\nAnd the [options of every command that asks an agent](#common-options).\n")
			common = rest
		}
	}
	b.WriteString("\n## Common options\n\nOf every command that asks an agent. A flag counts more than a DEBROS_ variable, and that more than its CONSUL_ twin.\n\n```\n" + strings.TrimRight(common, "\n") + "\n```\n")
	return b.String()
}
