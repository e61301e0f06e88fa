// Package compat drives real debros agents with the unmodified clients of Consul (the Go client, the
// npm package and Terraform's backend) and of rqlite (gorqlite and the npm package rqlite-js). What those
// clients rely on is the contract of the compatible routes; a change that breaks them fails here,
// whatever our own client says.
//
// It is a module of its own, so that these clients are no dependency of debros, and has tests only.
// They build the agent from the tree above and start it on free loopback ports.
package compat
