// Package harness runs clusters of real debros binaries on loopback, for tests that need whole
// processes: killed, stopped, paused and started again, each ended by its own process id.
//
// A Cluster owns one directory: the cluster key, and for every node a data directory and a log file
// that all its lives append to. Close ends every process, whatever state it is in; on Linux the kernel
// does the same should the harness itself be killed. Nodes find each other by retry_join, so it does
// not matter in which order they start. Ports are taken from below the range of outgoing connections,
// so that a node that is down finds its ports free when it starts again.
//
// Start and its companions return errors; ForTest wraps them for a test and shows the end of every
// log when the test has failed.
package harness
