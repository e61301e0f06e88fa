// Package pace says how slow the machine must be thought to be that runs the tests.
//
// Contract: Factor is what tests multiply the timeouts with by which nodes take each other for dead:
// such a timeout is right for a program that gets the processor when it needs it. How long a test waits
// for a result is another matter: always long, since that costs nothing when all is well.
package pace
