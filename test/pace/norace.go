//go:build !race

package pace

// Factor is what a test binary without the race detector needs.
const Factor = 1
