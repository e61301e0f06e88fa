package pubsub

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/debros/debros/structs"
)

// heap is what is in use after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestFloodsLeaveTheOthersAlone: a member sends GossipSub whatever its protocol has, as fast as it goes.
func TestFloodsLeaveTheOthersAlone(t *testing.T) {
	nodes := cluster(t, 2)
	s := nodes[1].to(t, "a")
	nodes[0].pub(t, "a", "before")
	take(t, s, 1)
	bad := newHost(t, newKey(t))
	if err := bad.Connect(t.Context(), peer.AddrInfo{ID: nodes[1].host.ID(), Addrs: nodes[1].host.Addrs()}); err != nil {
		t.Fatal(err)
	}
	wire := nodes[1].spaces["default"].carrierOf("a").wire
	before := heap()
	for name, rpc := range map[string]func(i int) *pb.RPC{
		"subscriptions": func(i int) *pb.RPC {
			out := &pb.RPC{}
			for j := range 1000 {
				on, topic := true, fmt.Sprintf("ns%d-%d.3", i, j)
				out.Subscriptions = append(out.Subscriptions, &pb.RPC_SubOpts{Subscribe: &on, Topicid: &topic})
			}
			return out
		},
		"no carriers": func(i int) *pb.RPC {
			on, topic := true, fmt.Sprintf("%d", i)
			return &pb.RPC{Subscriptions: []*pb.RPC_SubOpts{{Subscribe: &on, Topicid: &topic}}}
		},
		"IHAVE": func(i int) *pb.RPC {
			ids := []string{}
			for j := range 4000 {
				ids = append(ids, fmt.Sprintf("%020d", i*4000+j))
			}
			return &pb.RPC{Control: &pb.ControlMessage{Ihave: []*pb.ControlIHave{{TopicID: &wire, MessageIDs: ids}}}}
		},
		"IWANT": func(i int) *pb.RPC {
			ids := []string{}
			for j := range 4000 {
				ids = append(ids, fmt.Sprintf("%020d", i*4000+j))
			}
			return &pb.RPC{Control: &pb.ControlMessage{Iwant: []*pb.ControlIWant{{MessageIDs: ids}}}}
		},
		"GRAFT": func(i int) *pb.RPC {
			out := &pb.ControlMessage{}
			for range 1000 {
				out.Graft = append(out.Graft, &pb.ControlGraft{TopicID: &wire})
			}
			return &pb.RPC{Control: out}
		},
		"frames that nobody signed": func(i int) *pb.RPC {
			return &pb.RPC{Publish: []*pb.Message{{Topic: &wire, Data: fmt.Appendf(make([]byte, 60<<10), "%d", i)}}}
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		st, err := bad.NewStream(ctx, nodes[1].host.ID(), "/meshsub/1.1.0")
		if err != nil {
			t.Fatal(err)
		}
		_ = st.SetWriteDeadline(time.Now().Add(10 * time.Second))
		for i := range 100 {
			data, err := proto.Marshal(rpc(i))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := st.Write(append(binary.AppendUvarint(nil, uint64(len(data))), data...)); err != nil {
				t.Logf("%s: cut off after %d: %v", name, i, err)
				break
			}
		}
		_ = st.Close()
		cancel()
		nodes[0].pub(t, "a", name)
		if got := texts(take(t, s, 1)); !slices.Equal(got, []string{name}) {
			t.Errorf("after a flood of %s: %v", name, got)
		}
	}
	if grown := heap() - before; grown > 64<<20 {
		t.Errorf("the floods left %d MB behind", grown>>20)
	}
}

func TestAHundredThousandTopicsCostLittle(t *testing.T) {
	nodes := cluster(t, 2)
	s := nodes[1].sub(t, structs.SubscribeOptions{Patterns: []string{">"}, QueueMessages: 1 << 20})
	before := heap()
	const n = 100_000
	for i := 0; i < n; i += 1000 {
		list := []*structs.Message{}
		for j := range 1000 {
			list = append(list, &structs.Message{Topic: fmt.Sprintf("t%d.x", i+j)})
		}
		if err := nodes[0].Publish(t.Context(), "default", list); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(take(t, s, n)); got != n {
		t.Errorf("%d messages", got)
	}
	if grown := heap() - before; grown > 100<<20 {
		t.Errorf("%d MB for the numbers and names of topics, and what is kept of the messages", grown>>20)
	}
	if topics, err := nodes[0].Topics(t.Context(), "default"); err != nil || len(topics) > topicsMax+1 {
		t.Errorf("%d topics are counted, %v", len(topics), err)
	}
}

func TestNamespacesInUseAreBounded(t *testing.T) {
	n := startNode(t, newKey(t), 1)
	n.cfg.NamespacesMax = 3
	for i := range 3 {
		if err := n.Publish(t.Context(), structs.Namespace(fmt.Sprint("n", i)), []*structs.Message{{Topic: "a"}}); err != nil {
			t.Fatal(err)
		}
	}
	err := n.Publish(t.Context(), "n3", []*structs.Message{{Topic: "a"}})
	if e := structs.AsError(err); e == nil || e.Kind != structs.KindRateLimited {
		t.Errorf("one more: %v", err)
	}
	// An idle one takes its leave, makes room, and its numbers go on when it comes back: others know them.
	kept := &structs.Message{Topic: "a", Data: []byte("x"), Retain: true}
	if err := n.Publish(t.Context(), "n1", []*structs.Message{kept}); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(2 * idleSpace)
	n.tidy(later)
	settled := func(ns structs.Namespace) bool { // as if a minute had passed
		ok := true
		for _, c := range n.spaces[ns].carriers {
			c.outbox.mu.Lock()
			ok = ok && len(c.outbox.waiting) == 0 && c.outbox.head+1 == c.outbox.next
			c.outbox.running = c.outbox.running && !ok
			c.outbox.mu.Unlock()
		}
		return ok
	}
	for _, ns := range []structs.Namespace{"n0", "n1"} {
		if n.spaces[ns].presence.entered() {
			t.Errorf("%s is idle and has not taken its leave", ns)
		}
		eventually(t, "everything is sent", func() bool { return settled(ns) })
	}
	n.tidy(later)
	if _, err := n.acquire(t.Context(), "n1"); err != nil || n.spaces["n1"].carrierOf("a").outbox.sent() != 2 {
		t.Errorf("a namespace with a last value was forgotten: %v", err)
	}
	if n.spaces["n0"] != nil {
		t.Error("an idle namespace is not forgotten")
	}
	m := &structs.Message{Topic: "a"}
	if err := n.Publish(t.Context(), "n0", []*structs.Message{m}); err != nil || m.Seq != 2 {
		t.Errorf("after it was forgotten: number %d, %v", m.Seq, err)
	}
}

// pipe is a question, and where the reply goes.
type pipe struct {
	io.Reader
	io.Writer
}

func FuzzQuestion(f *testing.F) {
	n := startNode(f, newKey(f), 1)
	n.pub(f, "a", "1")
	s, err := n.Subscribe(context.Background(), "default", structs.SubscribeOptions{Patterns: []string{"a"}})
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	wire := n.spaces["default"].carrierOf("a").wire
	for _, req := range []request{
		{Op: opHeads, Carriers: []string{wire, "none.1"}},
		{Op: opFrames, Carriers: []string{wire}, Publisher: []byte(n.self), Epoch: 1, From: 1, To: 9},
		{Op: opFrames, Carriers: []string{wire}, Publisher: []byte("x"), Epoch: 1, From: 1 << 63, To: 1, Ago: 5},
		{Op: opTake, Carriers: []string{wire}, Frame: make([]byte, 100)},
	} {
		data, err := structs.Encode(&req)
		if err != nil {
			f.Fatal(err)
		}
		var b bytes.Buffer
		if err := writeBlock(&b, data); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = n.answer(pipe{bytes.NewReader(data), io.Discard})
	})
}

// A namespace is idle, takes its leave, and is used again just then.
func TestASubscriptionThatBeginsWhileItsNamespaceIsLeftIsKnown(t *testing.T) {
	n := startNode(t, newKey(t), 1)
	n.to(t, "a").Close()
	p := n.spaces["default"].presence
	p.telling.Lock() // taking leave takes a while
	p.mu.Lock()
	p.local[subKey{"mark", ""}] = 1
	p.mu.Unlock()
	left, begun := make(chan struct{}), make(chan *Subscription, 1)
	go func() { n.tidy(time.Now().Add(2 * idleSpace)); close(left) }()
	eventually(t, "it is being left", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.local) == 0
	})
	go func() {
		s, err := n.Subscribe(t.Context(), "default", structs.SubscribeOptions{Patterns: []string{"b"}})
		if err != nil {
			t.Error(err)
		}
		begun <- s
	}()
	var s *Subscription
	select {
	case s = <-begun:
	case <-time.After(200 * time.Millisecond): // it waits
	}
	p.telling.Unlock()
	<-left
	if s == nil {
		s = <-begun
	}
	if list := p.list("b"); !p.entered() || len(list) != 1 {
		t.Errorf("it takes part: %v; who subscribes: %v", p.entered(), list)
	}
	s.Close()
}

// The bus closes a subscription that is not complete yet.
func TestASubscriptionThatBeginsWhileItIsClosedLeavesNothingBehind(t *testing.T) {
	n := startNode(t, newKey(t), 1)
	n.to(t, "b").Close()
	sp := n.spaces["default"]
	sp.presence.telling.Lock() // a member of a group begins with telling others
	begun := make(chan struct{})
	go func() {
		defer close(begun)
		_, _ = n.Subscribe(t.Context(), "default", structs.SubscribeOptions{Patterns: []string{">"}, Group: "g"})
	}()
	subs := func() (out []*Subscription) {
		sp.mu.Lock()
		defer sp.mu.Unlock()
		for s := range sp.subs {
			out = append(out, s)
		}
		return out
	}
	eventually(t, "it has begun", func() bool { return len(subs()) == 1 })
	subs()[0].Close()
	sp.presence.telling.Unlock()
	<-begun
	if list := sp.presence.list(""); len(list) != 0 {
		t.Errorf("who subscribes: %v", list)
	}
	for i, c := range sp.carriers[:carriersMax] {
		if c.inbox() != nil {
			t.Errorf("carrier %d is not left", i)
		}
	}
}

// Peer ids cost a dishonest member nothing: publishers have so many places, and who finds none is not lost in silence.
func TestMessagesOfAPublisherWithoutAPlaceAreAGap(t *testing.T) {
	nodes := cluster(t, 2)
	s := nodes[1].to(t, "a")
	in := nodes[1].spaces["default"].carrierOf("a").inbox()
	in.do(func() {
		delete(in.tracks, nodes[0].self)
		for i := range tracksMax {
			id := peer.ID(fmt.Sprint(i))
			in.tracks[id] = &track{publisher: id, epoch: 1, next: 1, held: &in.held}
		}
	})
	nodes[0].pub(t, "a", "1", "2")
	if got := texts(take(t, s, 1)); !slices.Equal(got, []string{"gap 1-2"}) {
		t.Errorf("%v", got)
	}
	if st := nodes[1].Stats()[0]; st.Refused < 1 || st.Gaps < 1 {
		t.Errorf("%d refused, %d gaps", st.Refused, st.Gaps)
	}
}
