//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one measured thing, with its target if it has one.
type row struct {
	What     string
	Value    string // for people
	Measured float64
	Unit     string
	// Target and Aim bound the ratio, or Measured where there is no ratio; 0 = none.
	Target, Aim float64
	AtMost      bool `json:",omitempty"` // the target is an upper bound
	// Against is what the ratio divides by, and Ratio the result.
	Against string  `json:",omitempty"`
	Ratio   float64 `json:",omitempty"`
	// Reached is "reached", "not reached" or "" without a target.
	Reached string `json:",omitempty"`
}

type report struct {
	Machine machine
	Rows    []row
}

// judge fills in Reached.
func (r row) judge() row {
	if r.Target == 0 {
		return r
	}
	v := r.Measured
	if r.Against != "" {
		v = r.Ratio
	}
	good, aim := v >= r.Target, r.Aim != 0 && v >= r.Aim
	if r.AtMost {
		good = v < r.Target
	}
	r.Reached = "not reached"
	if good {
		r.Reached = "reached"
	}
	if aim {
		r.Reached = "reached, the aim too"
	}
	return r
}

func (r *report) add(w row) { r.Rows = append(r.Rows, w.judge()) }

func throughput(what string, l loadResult) row {
	return row{What: what, Measured: l.rate(), Unit: "1/s",
		Value: fmt.Sprintf("%.0f/s, p50 %s, p99 %s", l.rate(), round(l.P50), round(l.P99))}
}

// against adds the ratio to another rate.
func (w row) against(name string, rate float64) row {
	w.Against = name
	if rate > 0 {
		w.Ratio = w.Measured / rate
	}
	return w
}

func round(d time.Duration) time.Duration {
	switch {
	case d > 100*time.Millisecond:
		return d.Round(time.Millisecond)
	case d > time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

func (r *report) write(w io.Writer, format string) error {
	if format == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	m := r.Machine
	fmt.Fprintf(w, "%s\nbuilt with %s", m.Debros, m.Go)
	for _, name := range []string{"github.com/hashicorp/raft", "github.com/hashicorp/raft-wal"} {
		fmt.Fprintf(w, ", %s %s", name[strings.LastIndex(name, "/")+1:], m.Modules[name])
	}
	fmt.Fprintf(w, "\n%s, %d cores, %s, load before %s\ndata directory: %.0f fsyncs/s one after the other, p50 %s\nvalues of %d bytes, synced on a majority before they are acknowledged\n\n",
		m.CPU, m.Cores, m.Kernel, m.Load1, m.FsyncsPerSecond, round(m.FsyncP50), valueBytes)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "what\tmeasured\tratio\ttarget\t")
	for _, row := range r.Rows {
		ratio := ""
		if row.Against != "" {
			ratio = fmt.Sprintf("%.2f of %s", row.Ratio, row.Against)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", row.What, row.Value, ratio, row.target(), row.Reached)
	}
	return t.Flush()
}

func (r row) target() string {
	if r.Target == 0 {
		return ""
	}
	sign := "≥"
	if r.AtMost {
		sign = "<"
	}
	unit := " " + r.Unit
	if r.Against != "" {
		unit = ""
	}
	s := fmt.Sprintf("%s %g%s", sign, r.Target, unit)
	if r.Aim != 0 {
		s += fmt.Sprintf(" (aim %g)", r.Aim)
	}
	return s
}
