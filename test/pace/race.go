//go:build race

package pace

// Factor is larger under the race detector, which makes a program about ten times slower.
const Factor = 3
