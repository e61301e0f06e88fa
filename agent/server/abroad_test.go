package server

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/debros/debros/rpc"
	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
)

// elsewhere is servers of another datacenter at addresses.
type elsewhere []string

func (e elsewhere) ServersOf(context.Context, string) []string { return e }
func (elsewhere) Datacenters() []string                        { return []string{"dc2"} }

// dyingServers are servers of another datacenter of which the first few that are asked die before they answer.
func dyingServers(t *testing.T, servers, deaths int) elsewhere {
	t.Helper()
	var asked atomic.Int32
	var out elsewhere
	for range servers {
		var s *transport.Server
		answer := func(ctx context.Context) error {
			if int(asked.Add(1)) > deaths {
				return nil
			}
			go s.Close()
			<-ctx.Done()
			return ctx.Err()
		}
		methods := []transport.Method{
			transport.Unary("KV.Get", func(ctx context.Context, _ *structs.KeyRequest, rep *structs.KVGetReply) error {
				rep.Entry = &structs.KVPair{}
				return answer(ctx)
			}),
			transport.Unary("KV.Apply", func(ctx context.Context, _ *structs.KVRequest, _ *structs.KVReply) error { return answer(ctx) }),
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if s, err = transport.Listen(l, transport.Config{Logger: testLog(t)}, methods, nil); err != nil {
			t.Fatal(err)
		}
		go s.Serve()
		t.Cleanup(func() { s.Close() })
		out = append(out, l.Addr().String())
	}
	return out
}

func TestAReadAbroadThatIsCutOffIsAskedElsewhereAndAWriteIsNot(t *testing.T) {
	ask := func(servers, deaths int, method string, req, reply any) error {
		var c *cluster
		there := dyingServers(t, servers, deaths)
		c = newCluster(t, 1, func(cfg *Config) { cfg.Abroad = there })
		_, err := c.leader().Forward(t.Context(), method, rpc.ForwardTo{Datacenter: "dc2"}, req, reply)
		return err
	}
	get, put := &structs.KeyRequest{Key: "k"}, &structs.KVRequest{}
	var rep structs.KVGetReply
	if err := ask(2, 1, "KV.Get", get, &rep); err != nil || rep.Entry == nil {
		t.Errorf("a read of which the first server died: %v", err)
	}
	err := ask(2, 2, "KV.Get", get, &rep)
	var e *structs.Error
	if !errors.As(err, &e) || e.Kind != structs.KindNoPath || strings.Contains(e.Hint, "write") {
		t.Errorf("a read of which all servers died: %+v", err)
	}
	if err := ask(2, 1, "KV.Apply", put, new(structs.KVReply)); !errors.Is(err, structs.ErrUnknownResult) {
		t.Errorf("a write of which the server died: %v", err)
	}
}
