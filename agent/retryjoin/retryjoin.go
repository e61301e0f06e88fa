// Package retryjoin joins a pool by a list of addresses, again and again until one of them answers.
//
// Contract: an address is an IP, a DNS name or exec=/path, with or without a port. Names are resolved
// and programs run anew at every attempt, so that an address that changes is found. Every failure is
// logged. The package knows no gossip: the caller gives the function that joins.
package retryjoin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/debros/debros/structs"
)

// Resolver is the part of net.Resolver that is needed.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config says what to join and how often to try.
type Config struct {
	// Addrs are "10.0.0.1", "10.0.0.1:7946", "::1", "[::1]", "[::1]:7946", "name", "name:7946" or
	// "exec=/path arg…", whose standard output lists addresses of the other forms.
	Addrs       []string
	DefaultPort int           // for addresses without one
	Interval    time.Duration // between attempts, ± a quarter, after shorter ones at first; 0 = 30 s
	MaxAttempts int           // 0 = for ever
	// Join contacts the "ip:port"s and returns how many answered. An error of KindConflict ends the
	// attempts: this node may not join as it is.
	Join     func(ctx context.Context, addrs []string) (int, error)
	Resolver Resolver     // nil = the system's
	Logger   *slog.Logger // nil = slog.Default()
}

const (
	intervalDefault = 30 * time.Second
	resolveTimeout  = 10 * time.Second // of one name
	addrsMax        = 256              // given to one Join
	pauseFirst      = time.Second      // after the first attempt
)

// Run tries until an attempt reaches somebody and returns nil then. Otherwise its error is ctx's,
// the KindConflict of Join, or, after MaxAttempts, KindUnavailable. The first attempt is immediate.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Resolver == nil {
		cfg.Resolver = net.DefaultResolver
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Interval <= 0 {
		cfg.Interval = intervalDefault
	}
	if err := Check(cfg.Addrs); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		n, err := cfg.try(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, structs.ErrConflict):
			return err
		case n > 0:
			cfg.Logger.Info("joined", "contacted", n, "attempt", attempt)
			return nil
		case cfg.MaxAttempts > 0 && attempt >= cfg.MaxAttempts:
			cfg.Logger.Error("join failed for the last time", "attempt", attempt, "error", err)
			return structs.Errorf(structs.KindUnavailable, "no node answered in %d attempts to join: %v", attempt, err).
				WithHint("check retry_join, or raise retry_max")
		}
		wait := cfg.pause(attempt)
		cfg.Logger.Warn("join failed, trying again", "attempt", attempt, "wait", wait.Round(time.Millisecond), "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// pause is the time to the next attempt: it doubles from pauseFirst to Interval, since nodes that
// are started together find each other within seconds, and has a quarter of jitter either way.
func (c *Config) pause(attempt int) time.Duration {
	d := c.Interval
	if doublings := attempt - 1; doublings < 16 {
		d = min(d, pauseFirst<<doublings)
	}
	return d*3/4 + rand.N(d/2+1)
}

// try makes one attempt.
func (c *Config) try(ctx context.Context) (int, error) {
	addrs, err := c.resolveAll(ctx)
	if len(addrs) == 0 {
		return 0, errors.Join(errors.New("no address to join"), err)
	}
	n, jerr := c.Join(ctx, addrs)
	if n == 0 && jerr == nil {
		jerr = errors.New("no node answered")
	}
	return n, errors.Join(jerr, err)
}

// resolveAll turns the addresses into "ip:port"s, each once; the error is of those that it could not.
func (c *Config) resolveAll(ctx context.Context) ([]string, error) {
	var out []string
	var errs []error
	seen := map[string]bool{}
	add := func(a address) {
		ips, err := c.resolve(ctx, a)
		if err != nil {
			errs = append(errs, err)
			c.Logger.Warn("address to join cannot be resolved", "address", a.host, "error", err)
		}
		for _, ip := range ips {
			if !seen[ip] && len(out) < addrsMax {
				seen[ip] = true
				out = append(out, ip)
			}
		}
	}
	for _, text := range c.Addrs {
		a, err := parse(text, c.DefaultPort) // checked by Run
		if err != nil {
			return nil, err
		}
		if a.exec == nil {
			add(a)
			continue
		}
		list, err := runExec(ctx, a.exec, c.DefaultPort)
		if err != nil {
			errs = append(errs, err)
			c.Logger.Warn("program that lists addresses to join failed", "program", a.exec[0], "error", err)
		}
		for _, a := range list {
			add(a)
		}
	}
	return out, errors.Join(errs...)
}

func (c *Config) resolve(ctx context.Context, a address) ([]string, error) {
	if a.ip.IsValid() {
		return []string{netip.AddrPortFrom(a.ip, a.port).String()}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	ips, err := c.Resolver.LookupNetIP(ctx, "ip", a.host)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", a.host, err)
	}
	out := make([]string, 0, len(ips))
	for _, ip := range ips {
		out = append(out, netip.AddrPortFrom(ip.Unmap().WithZone(""), a.port).String())
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("resolve %s: no address", a.host)
	}
	return out, nil
}
