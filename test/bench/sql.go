//go:build unix

package main

import (
	"context"
	"fmt"

	"github.com/debros/debros/api"
)

// callersSQL is the number of callers of the loaded SQL measurements.
const callersSQL = 32

// sqlRows is how many rows the point selects find.
const sqlRows = 10_000

// measureSQL compares durable single-row inserts with the bare pipeline at the same callers, and point selects with
// the inserts.
func measureSQL(ctx context.Context, b *bench) error {
	leader, follower, err := b.addrs(ctx)
	if err != nil {
		return err
	}
	p, err := b.pipeline(ctx)
	if err != nil {
		return err
	}
	if err := fillSQL(ctx, leader); err != nil {
		return err
	}
	one, oneBare := httpSide("insert", 1, rawInserts(leader)), bareSide(p, 1)
	if err := b.interleave(ctx, "SQL insert, 1 caller", one, oneBare); err != nil {
		return err
	}
	many, manyBare := httpSide("insert", callersSQL, rawInserts(leader)), bareSide(p, callersSQL)
	read, readFollower := httpSide("select", callersSQL, rawSelects(leader)), httpSide("select via follower", callersSQL, rawSelects(follower))
	if err := b.interleave(ctx, fmt.Sprintf("SQL, %d callers", callersSQL), many, manyBare, read, readFollower); err != nil {
		return err
	}
	for _, m := range []struct {
		what        string
		side        *side
		unit        string
		rate        float64
		target, aim float64
	}{
		{"SQL insert, 1 caller, leader", one, "bare", oneBare.sum.rate(), 0.55, 0},
		{"SQL insert, 32 callers, leader", many, "bare", manyBare.sum.rate(), 0.8, 1.3},
		{"linearizable point select, 32 callers, leader", read, "insert", many.sum.rate(), 3, 0},
		{"linearizable point select, 32 callers, follower", readFollower, "insert", many.sum.rate(), 3, 0},
	} {
		w := throughput(m.what, m.side.sum).against(m.unit, m.rate)
		w.Target, w.Aim = m.target, m.aim
		b.report.add(w)
	}
	return nil
}

// fillSQL makes the tables anew.
func fillSQL(ctx context.Context, addr string) error {
	client, err := api.New(api.Config{Address: addr})
	if err != nil {
		return err
	}
	reply, err := client.SQL().Execute(ctx, &api.SQLRequest{Statements: []api.SQLStatement{
		api.Stmt("drop table if exists inserted"), api.Stmt("create table inserted (id integer primary key, v text)"),
		api.Stmt("drop table if exists read"), api.Stmt("create table read (id integer primary key, v text)"),
		api.Stmt("with recursive n(i) as (select 1 union all select i + 1 from n where i < ?) insert into read select i, hex(randomblob(?)) from n",
			sqlRows, valueBytes/2),
	}}, nil)
	if err != nil {
		return err
	}
	for _, r := range reply.Results {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// rawInserts makes callers that insert a row of valueBytes over a connection of their own.
func rawInserts(addr string) func(int) (func() error, func(), error) {
	body := fmt.Appendf(nil, `{"statements":[{"sql":"insert into inserted (v) values (?)","args":["%x"]}]}`, value()[:valueBytes/2])
	return func(int) (func() error, func(), error) {
		c, err := dial(addr)
		if err != nil {
			return nil, nil, err
		}
		return func() error { return c.do("POST", "/v1/sql/execute", body) }, c.close, nil
	}
}

// rawSelects makes callers that read one row by its key, given as an argument as for the inserts.
func rawSelects(addr string) func(int) (func() error, func(), error) {
	return func(i int) (func() error, func(), error) {
		c, err := dial(addr)
		if err != nil {
			return nil, nil, err
		}
		n := i * sqlRows / callersSQL
		var body []byte
		return func() error {
			n++
			body = fmt.Appendf(body[:0], `{"sql":"select v from read where id = ?","args":[%d]}`, n%sqlRows+1)
			return c.do("POST", "/v1/sql/query", body)
		}, c.close, nil
	}
}
