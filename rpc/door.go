package rpc

import (
	"context"
	"fmt"
	"io"

	"github.com/debros/debros/structs"
)

// enterRead is the door for reads: it resolves the namespace, passes on what is not for this server
// and looks up the token. done means that rep is final. leader says that only the leader may answer.
func (s *service) enterRead(ctx context.Context, method string, o *structs.QueryOptions, leader bool, req, rep any) (c call, done bool, err error) {
	if err := checkQuery(o); err != nil {
		return call{}, false, err
	}
	if o.Namespace, err = resolve(o.Namespace); err != nil {
		return call{}, false, err
	}
	to := ForwardTo{Datacenter: o.Datacenter, Leader: leader, Forwarded: o.Forwarded}
	if done, err := s.forward(ctx, method, to, &o.Forwarded, req, rep); done || err != nil {
		return call{}, done, err
	}
	return s.known(o.Token, o.Namespace)
}

// enterWrite is the door for writes.
func (s *service) enterWrite(ctx context.Context, method string, o *structs.WriteOptions, req, rep any) (c call, done bool, err error) {
	if o.Namespace, err = resolve(o.Namespace); err != nil {
		return call{}, false, err
	}
	to := ForwardTo{Datacenter: o.Datacenter, Leader: true, Forwarded: o.Forwarded}
	if done, err := s.forward(ctx, method, to, &o.Forwarded, req, rep); done || err != nil {
		return call{}, done, err
	}
	return s.known(o.Token, o.Namespace)
}

// enterStream is the door for streams.
func (s *service) enterStream(ctx context.Context, method string, o *structs.QueryOptions, leader bool, req any, in io.Reader, out io.Writer) (c call, done bool, err error) {
	if err := checkQuery(o); err != nil {
		return call{}, false, err
	}
	if o.Namespace, err = resolve(o.Namespace); err != nil {
		return call{}, false, err
	}
	to := ForwardTo{Datacenter: o.Datacenter, Leader: leader, Forwarded: o.Forwarded}
	o.Forwarded = true
	done, err = s.b.ForwardStream(ctx, method, to, req, in, out)
	o.Forwarded = to.Forwarded
	if done || err != nil {
		return call{}, done, err
	}
	return s.known(o.Token, o.Namespace)
}

// forward marks the request as forwarded only while it is away: whoever made it may use it again,
// and then it must be free to go to another leader.
func (s *service) forward(ctx context.Context, method string, to ForwardTo, mark *bool, req, rep any) (done bool, err error) {
	*mark = true
	done, err = s.b.Forward(ctx, method, to, req, rep)
	*mark = to.Forwarded
	return done, err
}

func (s *service) known(token string, ns structs.Namespace) (call, bool, error) {
	may, err := s.b.Authorize(token)
	if err != nil {
		return call{}, false, err
	}
	return call{may: may, ns: ns}, false, nil
}

// resolve gives every request a real namespace.
func resolve(ns structs.Namespace) (structs.Namespace, error) {
	if ns == "" {
		return structs.DefaultNamespace, nil
	}
	if !structs.ValidNamespace(ns) {
		return "", structs.Errorf(structs.KindInvalid, "invalid namespace %q", clip(string(ns))).
			WithHint("a namespace is 1 to 63 characters of a-z, 0-9 and -, and does not begin with -")
	}
	return ns, nil
}

// checkQuery refuses options that no read can have.
func checkQuery(o *structs.QueryOptions) error {
	switch {
	case o.Consistency > structs.Leader:
		return structs.Errorf(structs.KindInvalid, "unknown consistency %d", o.Consistency)
	case o.Wait < 0, o.MinWait < 0:
		return structs.Errorf(structs.KindInvalid, "wait must not be negative")
	case o.PerPage < 0:
		return structs.Errorf(structs.KindInvalid, "per_page must not be negative")
	}
	return nil
}

// denied is the answer of every endpoint to a token that lacks the right. It does not say whether
// the thing exists.
func denied(right, on string) error {
	if on == "" {
		return structs.Errorf(structs.KindDenied, "permission denied: the token lacks %s", right)
	}
	return structs.Errorf(structs.KindDenied, "permission denied: the token lacks %s on %q", right, clip(on))
}

// unexpectedReply is a fault of ours: the FSM answered with a type that the command does not have.
func unexpectedReply(t structs.CommandType, reply any) error {
	return fmt.Errorf("command type %d: unexpected reply %T", t, reply)
}

// clip keeps what a user sent from filling a message.
func clip(s string) string {
	const shownBytesMax = 128
	if len(s) <= shownBytesMax {
		return s
	}
	return s[:shownBytesMax] + "…"
}
