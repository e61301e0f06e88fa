// Package rqlite is the JSON of rqlite's HTTP API: statements in, results out, as its clients expect them.
//
// Contract: what is encoded here is what rqlite's own server would send, but for what that cannot say: an infinite REAL
// is the string "Infinity" or "-Infinity" (rqlite fails), and text in a column of dates that is no date comes back
// as it is (rqlite answers with the year 1). As there, text that is no UTF-8 becomes U+FFFD.
package rqlite
