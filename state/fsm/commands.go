package fsm

import (
	"fmt"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// applyCommand is the table of commands. An error means that the command cannot be applied here, since
// this build does not know it or this server's disk has failed; a refusal that is the same on every replica is in
// the result.
func applyCommand(tx *state.Txn, c *structs.Command) (structs.CommandResult, error) {
	switch c.Type {
	case structs.CommandNone:
		return structs.CommandResult{}, nil
	case structs.CommandKV:
		return fallible(c, tx.KV)
	case structs.CommandKVExpire:
		return sure(c, tx.KVExpire)
	case structs.CommandTxn:
		return risky(c, tx.Txn)
	case structs.CommandSession:
		return fallible(c, tx.Session)
	case structs.CommandNamespace:
		return fallible(c, tx.Namespace)
	case structs.CommandNode:
		return silent(c, tx.Node)
	case structs.CommandTombstoneReap:
		return silent(c, tx.TombstoneReap)
	case structs.CommandAutopilot:
		return sure(c, tx.Autopilot)
	case structs.CommandCluster:
		return silent(c, tx.Cluster)
	case structs.CommandSQL:
		return risky(c, tx.SQL)
	case structs.CommandSQLDatabase:
		return risky(c, tx.SQLDatabase)
	case structs.CommandSQLUpload:
		return risky(c, tx.SQLUpload)
	case structs.CommandStream:
		return fallible(c, tx.Stream)
	case structs.CommandPublish:
		return fallible(c, tx.Publish)
	case structs.CommandVerify:
		tx.Verify()
		return structs.CommandResult{Reply: &structs.VerifyReply{}}, nil
	}
	return structs.CommandResult{}, fmt.Errorf("unknown command type %d: this server is older than the leader that wrote it", c.Type)
}

// fallible is a command that replies or refuses. Only one of the two is set: a nil *Rep inside an any
// would not be nil.
func fallible[Req, Rep any](c *structs.Command, do func(*Req) (*Rep, *structs.Error)) (structs.CommandResult, error) {
	req, err := body[Req](c)
	if err != nil {
		return structs.CommandResult{}, err
	}
	reply, refusal := do(req)
	if refusal != nil {
		return structs.CommandResult{Err: refusal}, nil
	}
	return structs.CommandResult{Reply: reply}, nil
}

// risky is a command that replies or refuses, or meets a fault of this server's own.
func risky[Req, Rep any](c *structs.Command, do func(*Req) (*Rep, *structs.Error, error)) (structs.CommandResult, error) {
	var fault error
	result, err := fallible(c, func(req *Req) (*Rep, *structs.Error) {
		reply, refusal, err := do(req)
		fault = err
		return reply, refusal
	})
	if fault != nil {
		return structs.CommandResult{}, &localFault{fault}
	}
	return result, err
}

// localFault is an error that other servers need not meet.
type localFault struct{ error }

func (f *localFault) Unwrap() error { return f.error }

// sure is a command that always replies.
func sure[Req, Rep any](c *structs.Command, do func(*Req) *Rep) (structs.CommandResult, error) {
	return fallible(c, func(req *Req) (*Rep, *structs.Error) { return do(req), nil })
}

// silent is a command without a reply.
func silent[Req any](c *structs.Command, do func(*Req)) (structs.CommandResult, error) {
	req, err := body[Req](c)
	if err == nil {
		do(req)
	}
	return structs.CommandResult{}, err
}

func body[Req any](c *structs.Command) (*Req, error) {
	req := new(Req)
	if err := structs.Decode(c.Body, req); err != nil {
		return nil, fmt.Errorf("command type %d: %w", c.Type, err)
	}
	return req, nil
}
