//go:build unix

package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/test/harness"
)

// membersWithin bounds the join of all.
const membersWithin = 5 * time.Minute

// measureMembers starts client agents all at once and waits until every server lists all of them.
func measureMembers(ctx context.Context, b *bench) error {
	ctx, cancel := context.WithTimeout(ctx, membersWithin)
	defer cancel()
	c, err := b.servers(ctx)
	if err != nil {
		return err
	}
	before, err := processorTimes(c.Servers)
	if err != nil {
		return err
	}
	b.progress("starting %d client agents; one server is http://%s", b.o.members, c.Servers[0].HTTPAddr())
	start := time.Now()
	for i := range b.o.members {
		n, err := c.AddClient("c" + strconv.Itoa(i+1))
		if err != nil {
			return err
		}
		if err := n.Start(); err != nil {
			return err
		}
	}
	started := time.Since(start)
	told := time.Now()
	err = c.Wait(ctx, func(ctx context.Context) error {
		fewest := b.o.members
		for _, s := range c.Servers {
			members, err := s.Quick().Agent().Members(ctx, nil)
			if err != nil {
				return err
			}
			alive := 0
			for _, m := range members {
				if m.Status == api.MemberAlive && m.Role == "client" {
					alive++
				}
			}
			fewest = min(fewest, alive)
		}
		if time.Since(told) > time.Second {
			told = time.Now()
			b.progress("after %s every server lists %d of %d", round(time.Since(start)), fewest, b.o.members)
		}
		if fewest < b.o.members {
			return fmt.Errorf("a server lists %d of %d clients", fewest, b.o.members)
		}
		return nil
	})
	if err != nil {
		return err
	}
	took := time.Since(start)
	ofServers, err := processorTimes(c.Servers)
	if err != nil {
		return err
	}
	ofClients, err := processorTimes(c.Clients)
	if err != nil {
		return err
	}
	ofServers -= before
	b.report.add(row{What: fmt.Sprintf("%d client agents join three servers, until every server lists all alive", b.o.members),
		Value: fmt.Sprintf("%s (processes started within %s)", round(took), round(started)), Measured: took.Seconds(), Unit: "s", Target: 30, AtMost: true})
	b.report.add(row{What: "processor time of all agents meanwhile", Value: fmt.Sprintf("%s (servers %s, clients %s)", round(ofServers+ofClients), round(ofServers), round(ofClients)),
		Measured: (ofServers + ofClients).Seconds(), Unit: "s"})
	most := 0.0
	for _, s := range c.Servers {
		mb, err := s.ResidentMB()
		if err != nil {
			return err
		}
		most = max(most, mb)
	}
	b.report.add(row{What: "memory (RSS) of the largest server then", Value: fmt.Sprintf("%.1f MB", most), Measured: most, Unit: "MB"})
	return nil
}

// processorTimes adds up what the processes of nodes have used.
func processorTimes(nodes []*harness.Node) (sum time.Duration, err error) {
	for _, n := range nodes {
		d, err := n.ProcessorTime()
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}
