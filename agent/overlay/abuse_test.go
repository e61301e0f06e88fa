package overlay

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"testing"
	"time"

	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	recpb "github.com/libp2p/go-libp2p-record/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/proto"
)

// rawTable speaks the protocol of the table as a member that keeps to no rule.
type rawTable struct {
	t *testing.T
	s network.Stream
	w *bufio.Writer
	r *bufio.Reader
}

func openTable(t *testing.T, from, to *Overlay) *rawTable {
	t.Helper()
	s, err := from.gate.NewStream(ctxOf(t), to.ID(), tableProtocol(to.cfg.Network))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Reset() })
	_ = s.SetDeadline(time.Now().Add(2 * time.Minute))
	return &rawTable{t: t, s: s, w: bufio.NewWriter(s), r: bufio.NewReader(s)}
}

func (r *rawTable) send(m *pb.Message) error {
	b, err := proto.Marshal(m)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.w.Write(binary.AppendUvarint(nil, uint64(len(b)))); err != nil {
		return err
	}
	_, err = r.w.Write(b)
	return err
}

// ask sends a message and reads the answer; an error when the other side hangs up on it.
func (r *rawTable) ask(m *pb.Message) (*pb.Message, error) {
	if err := r.send(m); err != nil {
		return nil, err
	}
	if err := r.w.Flush(); err != nil {
		return nil, err
	}
	n, err := binary.ReadUvarint(r.r)
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return nil, err
	}
	answer := new(pb.Message)
	return answer, proto.Unmarshal(b, answer)
}

func putMessage(key string, value []byte) *pb.Message {
	return &pb.Message{Type: pb.Message_PUT_VALUE, Key: []byte(key), Record: &recpb.Record{Key: []byte(key), Value: value}}
}

// addMessage says that a peer offers what has the n-th key.
func addMessage(n int, p peer.ID, addrs ...ma.Multiaddr) *pb.Message {
	m := &pb.Message{Type: pb.Message_ADD_PROVIDER, Key: fmt.Appendf(nil, "flood %d", n)}
	e := &pb.Message_Peer{Id: []byte(p)}
	for _, a := range addrs {
		e.Addrs = append(e.Addrs, a.Bytes())
	}
	m.ProviderPeers = []*pb.Message_Peer{e}
	return m
}

func (s *tableStore) sizes() (rows, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows, s.bytes
}

// A member announces a hundred thousand offers. It takes its share, and others are found as before.
func TestAFloodOfProvidersTakesABoundedShare(t *testing.T) {
	a := start(t)
	flooder, b, c := start(t, knows(a)), start(t, knows(a)), start(t, knows(a))
	whole(t, a, flooder, b, c)
	raw := openTable(t, flooder, a)
	for n := range 100_000 {
		if err := raw.send(addMessage(n, flooder.ID(), flooder.cfg.Listen...)); err != nil {
			t.Fatalf("offer %d: %v", n, err)
		}
	}
	// What comes after them on the same stream is answered when they are done.
	if _, err := raw.ask(&pb.Message{Type: pb.Message_PING}); err != nil {
		t.Fatal(err)
	}
	if rows, _ := a.table.known.sizes(); rows > providerLimits.rowsPerOwner+len(b.cfg.Listen)+offersMax {
		t.Errorf("%d rows of a flood are kept", rows)
	}
	if err := b.SetOffers([]string{"service:database"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the offer of another to be found", func() bool {
		got, err := c.Providers(ctxOf(t), "service:database", 5)
		return err == nil && len(got) == 1 && got[0].ID == b.ID()
	})
}

// Nobody else can say that a peer offers something, and not where it is.
func TestProvidersSpeakForThemselves(t *testing.T) {
	a := start(t)
	liar, b := start(t, knows(a)), start(t, knows(a))
	whole(t, a, liar, b)
	raw := openTable(t, liar, a)
	if _, err := raw.ask(addMessage(1, b.ID(), b.cfg.Listen...)); err == nil {
		t.Error("an offer in another's name is answered")
	}
	if rows, _ := a.table.known.sizes(); rows != 0 {
		t.Errorf("an offer in another's name is kept: %d rows", rows)
	}
	raw = openTable(t, liar, a)
	metadata := ma.StringCast("/ip4/169.254.169.254/tcp/80")
	if err := raw.send(addMessage(1, liar.ID(), append(liar.cfg.Listen, metadata)...)); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.ask(&pb.Message{Type: pb.Message_PING}); err != nil {
		t.Fatal(err)
	}
	for _, addr := range a.host.Peerstore().Addrs(liar.ID()) {
		if addr.Equal(metadata) {
			t.Errorf("%s is kept", addr)
		}
	}
}

// A member writes records of all kinds, as large as they may be. It takes its share.
func TestAFloodOfRecordsTakesABoundedShare(t *testing.T) {
	a := start(t)
	flooder, b := start(t, knows(a)), start(t, knows(a))
	whole(t, a, flooder, b)
	n, kept := 200, 0
	for i := range n {
		key := RecordKey(flooder.ID(), fmt.Sprintf("flood-%d", i))
		value, err := signRecord(flooder.cfg.Key, key, 1, time.Now().Add(time.Hour), make([]byte, RecordBytesMax-512))
		if err != nil {
			t.Fatal(err)
		}
		raw := openTable(t, flooder, a)
		if _, err := raw.ask(putMessage(key, value)); err == nil {
			kept++
		}
		_ = raw.s.Reset() // or it meets its own limit of streams
	}
	if kept == 0 || kept > valueLimits.rowsPerOwner {
		t.Errorf("%d records of %d are kept", kept, n)
	}
	if _, bytes := a.table.values.sizes(); bytes > (valueLimits.rowsPerOwner+offersMax)*(RecordBytesMax+512) {
		t.Errorf("%d bytes are kept", bytes)
	}
	key, err := b.Put(ctxOf(t), "note", []byte("of another"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the record of another", func() bool {
		r, err := a.Get(ctxOf(t), key)
		return err == nil && string(r.Data) == "of another"
	})
}

// Whatever another member writes under a peer's key, everybody reads what the peer said last.
func TestRecordsOfAPeerCannotBeReplacedByAnother(t *testing.T) {
	a := start(t)
	b, attacker := start(t, knows(a)), start(t, knows(a))
	whole(t, a, b, attacker)
	key := RecordKey(b.ID(), "note")
	sign := func(by *Overlay, at string, seq uint64, expires time.Duration) []byte {
		v, err := signRecord(by.cfg.Key, at, seq, time.Now().Add(expires), []byte("forged"))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if _, err := b.Put(ctxOf(t), "note", []byte("mine"), time.Hour); err != nil {
		t.Fatal(err)
	}
	newest := uint64(time.Now().Add(time.Hour).UnixNano())
	flipped := sign(b, key, newest, time.Hour)
	flipped[len(flipped)-1] ^= 1
	eventually(t, "the record", func() bool { _, err := a.Get(ctxOf(t), key); return err == nil })
	for name, value := range map[string][]byte{
		"signed by another":      sign(attacker, key, newest, time.Hour),
		"bad signature":          flipped,
		"of another place":       sign(b, RecordKey(b.ID(), "other"), newest, time.Hour),
		"rolled back":            sign(b, key, 1, time.Hour),
		"expired":                sign(b, key, newest, -time.Hour),
		"for longer than it may": sign(b, key, newest, 1000*time.Hour),
		"empty":                  nil,
		"too large":              make([]byte, RecordBytesMax+1),
	} {
		if _, err := openTable(t, attacker, a).ask(putMessage(key, value)); err == nil {
			t.Errorf("%s: it is taken", name)
		}
		for _, o := range []*Overlay{a, b, attacker} {
			if r, err := o.Get(ctxOf(t), key); err != nil || string(r.Data) != "mine" {
				t.Errorf("%s: %+v, %v is read", name, r, err)
			}
		}
	}
	m := putMessage(key, sign(b, key, newest, time.Hour))
	m.Record.Key = []byte(RecordKey(b.ID(), "other"))
	if _, err := openTable(t, attacker, a).ask(m); err == nil {
		t.Error("a message with two keys is taken")
	}
}

// Frames of the table that lie about their length, or have none, end their stream and nothing else.
func TestTheTableSurvivesNonsense(t *testing.T) {
	a := start(t)
	b := start(t, knows(a))
	whole(t, a, b)
	for name, in := range map[string][]byte{
		"no length":     {},
		"zero length":   {0},
		"2^63":          binary.AppendUvarint(nil, 1<<63),
		"endless":       {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"above the max": append(binary.AppendUvarint(nil, network.MessageSizeMax+1), make([]byte, 4096)...),
		"no message":    append([]byte{200, 1}, make([]byte, 200)...),
		"unknown type":  {2, 0x08, 0x7f},
	} {
		raw := openTable(t, b, a)
		_, _ = raw.s.Write(in)
		_ = raw.s.CloseWrite()
		if out, _ := io.ReadAll(raw.s); len(out) > 64 {
			t.Errorf("%s is answered by %d bytes", name, len(out))
		}
	}
	if _, err := openTable(t, b, a).ask(&pb.Message{Type: pb.Message_PING}); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

// A member opens streams of the table and says nothing: it has a few, and others go on.
func TestSilentStreamsOfTheTableAreBounded(t *testing.T) {
	a := start(t)
	b, c := start(t, knows(a)), start(t, knows(a))
	whole(t, a, b, c)
	held := func() (n int) {
		for _, conn := range a.host.Network().ConnsToPeer(b.ID()) {
			for _, st := range conn.GetStreams() {
				if st.Protocol() == tableProtocol("default") && st.Stat().Direction == network.DirInbound {
					n++
				}
			}
		}
		return n
	}
	conn := b.host.Network().ConnsToPeer(a.ID())[0]
	for range 10 * tableStreamsPerPeer {
		// Beyond b's own limit: it counts none of them.
		if st, err := conn.NewStream(ctxOf(t)); err == nil {
			_, _ = st.Write(selectProtocol(string(tableProtocol("default"))))
		}
	}
	if _, err := openTable(t, c, a).ask(&pb.Message{Type: pb.Message_PING}); err != nil {
		t.Errorf("another member: %v", err)
	}
	if n := held(); n > tableStreamsPerPeer {
		t.Errorf("a member holds %d streams", n)
	}
}

// selectProtocol is what multistream sends to choose a protocol, without waiting for an answer.
func selectProtocol(pid string) []byte {
	var out []byte
	for _, line := range []string{"/multistream/1.0.0\n", pid + "\n"} {
		out = append(binary.AppendUvarint(out, uint64(len(line))), line...)
	}
	return out
}
