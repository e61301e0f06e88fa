package api

import (
	"math"
	"time"
)

// vivaldi is the distance of two coordinates of equal dimension: Euclid's, plus the heights, plus
// the adjustments if the sum stays positive. The same as serf computes.
func vivaldi(a, b *Coord) time.Duration {
	sum := 0.0
	for i := range a.Vec {
		d := a.Vec[i] - b.Vec[i]
		sum += d * d
	}
	rtt := math.Sqrt(sum) + a.Height + b.Height
	if adjusted := rtt + a.Adjustment + b.Adjustment; adjusted > 0 {
		rtt = adjusted
	}
	return time.Duration(rtt * float64(time.Second))
}
