package agent

import "github.com/debros/debros/structs"

// Kill stops the agent as a crash does, as far as others can tell: leadership is not handed over, and
// nobody is told. Files are closed, so that the same process may open them again. For tests.
func (a *Agent) Kill() {
	if a.server != nil {
		a.server.KeepLeadership()
	}
	a.stop(nil)
}

// Member is this node as it tells others.
func (a *Agent) Member() structs.Member { return a.gossip.Local() }
