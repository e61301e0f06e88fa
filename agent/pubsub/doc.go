// Package pubsub carries messages between the agents of a cluster: topics of a namespace, over GossipSub, in order
// and complete.
//
// Contract: what a publisher's agent accepted, every subscription that had begun gets exactly once and in the
// publisher's order, as long as its agent lives and reaches another one that still has it. What it cannot get it is told of as a gap, and what
// it did not take in time as an overflow; nothing is lost in silence. Messages are not on disk: with the
// publisher's agent goes what nobody has received. (Streams, in state, are for what must stay.)
//
// The package takes a host.Host on which there are members only. It knows no HTTP, no tokens and no
// state: who may publish and subscribe, and which namespaces there are, its callers decide.
//
// Wire formats owned here: frames (frame.go), carried by GossipSub topics named <namespace>.<carrier>, and
// /debros/messages/1.0.0 (ask.go). DESIGN.md says why it is built so.
package pubsub
