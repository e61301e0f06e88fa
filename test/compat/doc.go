// Package compat drives a real debros agent with the unmodified clients of Consul: the Go client, the
// npm package and Terraform's backend. What those clients rely on is the contract of the
// Consul-compatible routes; a change that breaks them fails here, whatever our own client says.
//
// It is a module of its own, so that Consul's client is no dependency of debros, and has tests only.
// They build the agent from the tree above and start it on free loopback ports.
package compat
