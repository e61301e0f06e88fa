// Package gossip knows which nodes are in this datacenter's LAN pool and which of them are alive. It
// runs serf and decides nothing: events go onto one channel, and whoever reads it asks Members.
//
// Contract. Members of other programs in the same pool are ignored and counted, whatever their tags
// hold. A node without the right key is ignored and counted and never listed. A node of another
// datacenter is refused. One name belongs to one live node and so does one id; what happens when two
// claim it is written at the top of conflict.go. A living node that others take for a leaving one is
// asked, and says so (doubt.go). Nothing happens inside callbacks of serf or memberlist but a look at a
// table.
//
// Formats it owns: the tags (tags.go) and the keyring file (keyring.go: a JSON list of base64 keys,
// the primary one first, mode 0600). The rejoin file is serf's snapshot.
package gossip
