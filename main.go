// Command debros is the agent of a cluster and the command line that asks it.
package main

import (
	"os"

	"github.com/debros/debros/command"
)

func main() {
	os.Exit(command.Main(os.Args[1:]))
}
