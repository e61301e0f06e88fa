package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

func (r *rig) stream(op structs.StreamOp, name string, change ...func(*structs.StreamRequest)) (*structs.StreamReply, *structs.Error) {
	r.t.Helper()
	req := &structs.StreamRequest{Op: op, Stream: structs.Stream{Name: name}}
	req.Namespace = ns
	for _, f := range change {
		f(req)
	}
	var reply *structs.StreamReply
	var err *structs.Error
	r.entry(func(tx *Txn) { reply, err = tx.Stream(req) })
	return reply, err
}

func (r *rig) mustStream(op structs.StreamOp, name string, change ...func(*structs.StreamRequest)) *structs.StreamReply {
	r.t.Helper()
	reply, err := r.stream(op, name, change...)
	if err != nil {
		r.t.Fatalf("%s %s: %v", op, name, err)
	}
	return reply
}

func limits(l structs.StreamLimits) func(*structs.StreamRequest) {
	return func(r *structs.StreamRequest) { r.Stream.Limits = l }
}

func (r *rig) publish(list ...structs.StreamMessage) ([]structs.StreamPublished, *structs.Error) {
	r.t.Helper()
	req := &structs.StreamPublishRequest{Messages: list}
	req.Namespace = ns
	var reply *structs.StreamPublishReply
	var err *structs.Error
	r.entry(func(tx *Txn) { reply, err = tx.Publish(req) })
	if err != nil {
		return nil, err
	}
	return reply.Published, nil
}

func message(topic, data string, id ...string) structs.StreamMessage {
	return structs.StreamMessage{Topic: topic, Data: []byte(data), ID: strings.Join(id, "")}
}

// kept is what a stream has: "seq topic data".
func (r *rig) kept(name string) (list []string) {
	_, row, ms, next, _ := r.s.StreamRead(nil, ns, name, StreamRange{Limit: 1 << 20, BytesMax: 1 << 40})
	if row == nil {
		return nil
	}
	var bytes int64
	for _, m := range ms {
		list = append(list, fmt.Sprintf("%d %s %s", m.Seq, m.Topic, m.Data))
		bytes += m.Bytes()
	}
	if row.Bytes != bytes || int(row.Count()) != len(ms) || next != row.LastSeq+1 {
		r.t.Fatalf("stream %s says %+v and has %d messages of %d bytes, next %d", name, row, len(ms), bytes, next)
	}
	return list
}

func TestMessagesGoToTheStreamWithTheLongestName(t *testing.T) {
	r := newRig(t)
	r.mustStream(structs.StreamCreate, "orders")
	r.mustStream(structs.StreamCreate, "orders.eu")
	got, err := r.publish(message("orders", "a"), message("orders.us.1", "b"), message("orders.eu", "c"), message("orders.eu.x", "d"))
	want := []structs.StreamPublished{{Stream: "orders", Seq: 1}, {Stream: "orders", Seq: 2}, {Stream: "orders.eu", Seq: 1}, {Stream: "orders.eu", Seq: 2}}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("published %v, %v", got, err)
	}
	if got := r.kept("orders"); !slices.Equal(got, []string{"1 orders a", "2 orders.us.1 b"}) {
		t.Errorf("orders: %v", got)
	}
	for _, topic := range []string{"ordersx", "order", "x.orders"} {
		if _, err := r.publish(message("orders", "e"), message(topic, "f")); err == nil || err.Kind != structs.KindNotFound {
			t.Errorf("%s: %v", topic, err)
		}
	}
	if n := len(r.kept("orders")); n != 2 {
		t.Errorf("a refused request left %d messages", n)
	}
}

func TestAMessageIsKeptOnceForItsId(t *testing.T) {
	r := newRig(t)
	r.mustStream(structs.StreamCreate, "s", limits(structs.StreamLimits{Dedupe: time.Minute, MessagesMax: 3}))
	first, _ := r.publish(message("s", "1", "a"), message("s", "2", "b"), message("s", "again", "a"))
	if len(first) != 3 || first[2] != (structs.StreamPublished{Stream: "s", Seq: 1, Duplicate: true}) {
		t.Fatalf("within one request: %+v", first)
	}
	r.publish(message("s", "3"), message("s", "4"), message("s", "5")) // 1 and 2 are trimmed, their ids are remembered
	if got, _ := r.publish(message("s", "again", "b")); !got[0].Duplicate || got[0].Seq != 2 {
		t.Errorf("an id of a message that is gone: %+v", got)
	}
	r.now = r.now.Add(time.Minute)
	if got, _ := r.publish(message("s", "new", "a")); got[0].Duplicate || got[0].Seq != 6 {
		t.Errorf("after its time: %+v", got)
	}
	r.publish(message("s", "x", "c"))
	var ids []string
	for p := range scan[structs.StreamPublication](nil, r.s.view(nil).tx, tablePublications, indexID, nil) {
		ids = append(ids, p.ID)
	}
	if !slices.Equal(ids, []string{"a", "c"}) {
		t.Errorf("ids remembered: %v, b should be forgotten", ids)
	}
}

func TestStreamsKeepWhatTheirLimitsAllow(t *testing.T) {
	r := newRig(t)
	r.mustStream(structs.StreamCreate, "n", limits(structs.StreamLimits{MessagesMax: 2}))
	r.mustStream(structs.StreamCreate, "b", limits(structs.StreamLimits{BytesMax: 10}))
	r.mustStream(structs.StreamCreate, "t", limits(structs.StreamLimits{AgeMax: time.Minute}))
	for _, data := range []string{"1234", "5678", "9"} {
		r.publish(message("n", data), message("b", data), message("t", data))
		r.now = r.now.Add(25 * time.Second)
	}
	if got := r.kept("n"); !slices.Equal(got, []string{"2 n 5678", "3 n 9"}) {
		t.Errorf("by count: %v", got)
	}
	if got := r.kept("b"); !slices.Equal(got, []string{"2 b 5678", "3 b 9"}) {
		t.Errorf("by bytes: %v", got)
	}
	if got := len(r.kept("t")); got != 3 {
		t.Errorf("by age: %d", got)
	}
	at, ok := r.s.NextAging()
	if want := r.now.Add(-15 * time.Second).UnixNano(); !ok || at != want {
		t.Errorf("next aging: %d %v, want %d", at, ok, want)
	}
	r.mustStream(structs.StreamTrim, "")
	if got := r.kept("t"); !slices.Equal(got, []string{"2 t 5678", "3 t 9"}) {
		t.Errorf("by age, after a trim: %v", got)
	}
	if _, err := r.publish(message("b", "12345678901")); err == nil || err.Kind != structs.KindTooLarge {
		t.Errorf("a message larger than the stream: %v", err)
	}
	if got := r.mustStream(structs.StreamUpdate, "n", limits(structs.StreamLimits{MessagesMax: 1})); got.Stream.FirstSeq != 3 {
		t.Errorf("lowered limits: %+v", got.Stream)
	}
	if got := r.mustStream(structs.StreamPurge, "n"); got.Stream.Count() != 0 || got.Stream.Bytes != 0 {
		t.Errorf("purged: %+v", got.Stream)
	}
	if got, _ := r.publish(message("n", "x")); got[0].Seq != 4 {
		t.Errorf("numbers go on after a purge: %+v", got)
	}
}

func TestConsumersMoveByAcknowledgementOnly(t *testing.T) {
	r := newRig(t)
	r.mustStream(structs.StreamCreate, "s")
	r.publish(message("s", "1"), message("s", "2"), message("s", "3"))
	consumer := func(name string, seq uint64) func(*structs.StreamRequest) {
		return func(q *structs.StreamRequest) { q.Consumer.Name, q.Seq = name, seq }
	}
	if _, err := r.stream(structs.StreamAck, "s", consumer("c", 1)); err == nil || err.Kind != structs.KindNotFound {
		t.Errorf("ack of an unknown consumer: %v", err)
	}
	r.mustStream(structs.StreamConsumerSet, "s", consumer("c", 0))
	for _, step := range []struct{ ack, want uint64 }{{2, 2}, {1, 2}, {3, 3}} {
		if got := r.mustStream(structs.StreamAck, "s", consumer("c", step.ack)).Consumer.Acked; got != step.want {
			t.Errorf("ack %d: acked %d", step.ack, got)
		}
	}
	if _, err := r.stream(structs.StreamAck, "s", consumer("c", 4)); err == nil || err.Kind != structs.KindInvalid {
		t.Errorf("ack of what is not there yet: %v", err)
	}
	r.mustStream(structs.StreamDelete, "s")
	r.mustStream(structs.StreamCreate, "s")
	if c := r.s.StreamConsumer(nil, ns, "s", "c"); c != nil {
		t.Errorf("a consumer outlived its stream: %+v", c)
	}
	if got, _ := r.publish(message("s", "new")); got[0].Seq != 1 || len(r.kept("s")) != 1 {
		t.Errorf("a new stream of an old name: %+v, %v", got, r.kept("s"))
	}
}

func TestStreamReadsFromNumberTimeAndFilter(t *testing.T) {
	r := newRig(t)
	r.mustStream(structs.StreamCreate, "s", limits(structs.StreamLimits{MessagesMax: 5}))
	start := r.now
	for i := range 7 {
		r.publish(message([]string{"s.a", "s.b"}[i%2], fmt.Sprint(i)))
		r.now = r.now.Add(time.Second)
	}
	seqs := func(rg StreamRange) (list []uint64, next, lost uint64) {
		if rg.Limit == 0 {
			rg.Limit = 100
		}
		rg.BytesMax = 1 << 20
		_, _, ms, next, lost := r.s.StreamRead(nil, ns, "s", rg)
		for _, m := range ms {
			list = append(list, m.Seq)
		}
		return list, next, lost
	}
	for _, c := range []struct {
		r          StreamRange
		want       []uint64
		next, lost uint64
	}{
		{StreamRange{}, []uint64{3, 4, 5, 6, 7}, 8, 0},
		{StreamRange{From: 1}, []uint64{3, 4, 5, 6, 7}, 8, 2},
		{StreamRange{From: 6}, []uint64{6, 7}, 8, 0},
		{StreamRange{From: 8}, nil, 8, 0},
		{StreamRange{From: 100}, nil, 100, 0},
		{StreamRange{Limit: 2}, []uint64{3, 4}, 5, 0},
		{StreamRange{Filter: "s.b"}, []uint64{4, 6}, 8, 0},
		{StreamRange{Since: start.Add(5 * time.Second).UnixNano()}, []uint64{6, 7}, 8, 0},
		{StreamRange{Since: start.Add(5*time.Second + 1).UnixNano()}, []uint64{7}, 8, 0},
		{StreamRange{Since: start.Add(time.Hour).UnixNano()}, nil, 8, 0},
	} {
		got, next, lost := seqs(c.r)
		if !slices.Equal(got, c.want) || next != c.next || lost != c.lost {
			t.Errorf("%+v: %v next %d lost %d", c.r, got, next, lost)
		}
	}
}

func TestATransactionThatFailsPublishesNothing(t *testing.T) {
	r := newRig(t)
	r.mustStream(structs.StreamCreate, "s", limits(structs.StreamLimits{MessagesMax: 2}))
	r.publish(message("s", "1", "one"), message("s", "2"))
	before := r.kept("s")
	m3, m4, bad := message("s", "3", "three"), message("s", "4"), message("nowhere", "x")
	req := &structs.TxnRequest{Ops: []structs.TxnOp{{Publish: &m3}, {Publish: &m4}, {Publish: &bad}}}
	req.Namespace = ns
	var reply *structs.TxnReply
	// A neighbour in the same entry stands.
	r.entry(func(tx *Txn) {
		reply = mustTxn(t, tx, req)
		if _, err := tx.KV(&structs.KVRequest{WriteOptions: structs.WriteOptions{Namespace: ns}, Op: structs.KVSet, KV: structs.KVPair{Key: "k"}}); err != nil {
			t.Fatal(err)
		}
	})
	if len(reply.Errors) != 1 || reply.Errors[0].OpIndex != 2 || !slices.Equal(r.kept("s"), before) {
		t.Fatalf("%+v, kept %v", reply, r.kept("s"))
	}
	req.Ops = req.Ops[:2]
	r.entry(func(tx *Txn) { reply = mustTxn(t, tx, req) })
	if len(reply.Errors) != 0 || reply.Results[0].Publish.Seq != 3 || !slices.Equal(r.kept("s"), []string{"3 s 3", "4 s 4"}) {
		t.Fatalf("%+v, kept %v", reply, r.kept("s"))
	}
}

func TestStreamsCountForTheQuotaAndEndWithTheNamespace(t *testing.T) {
	r := newRig(t)
	r.entry(func(tx *Txn) {
		tx.Namespace(&structs.NamespaceRequest{Op: structs.NamespaceCreate, Namespace: structs.NamespaceInfo{Name: "n", BytesMax: 20}})
	})
	within := func(q *structs.StreamRequest) { q.Namespace = "n"; q.Stream.Limits.MessagesMax = 2 }
	r.mustStream(structs.StreamCreate, "s", within)
	publish := func(data string) *structs.Error {
		req := &structs.StreamPublishRequest{Messages: []structs.StreamMessage{message("s", data, data)}}
		req.Namespace = "n"
		var err *structs.Error
		r.entry(func(tx *Txn) { _, err = tx.Publish(req) })
		return err
	}
	for i, data := range []string{"1234", "5678", "9abc"} { // 9 bytes each with topic and id; the third replaces the first
		if err := publish(data); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if err := publish("1234567"); err == nil || err.Kind != structs.KindQuota {
		t.Errorf("over the quota: %v", err)
	}
	r.entry(func(tx *Txn) {
		tx.Namespace(&structs.NamespaceRequest{Op: structs.NamespaceDelete, Namespace: structs.NamespaceInfo{Name: "n"}})
	})
	for _, table := range []string{tableStreams, tableMessages, tablePublications, tableConsumers} {
		if it, _ := r.s.view(nil).tx.Get(table, indexID+"_prefix", []byte(nil)); it.Next() != nil {
			t.Errorf("rows are left in %s", table)
		}
	}
	if u := first[usage](nil, r.s.view(nil).tx, tableUsage, indexID, []byte("n")); u != nil && u.Bytes != 0 {
		t.Errorf("%d bytes are still counted", u.Bytes)
	}
}

// TestRandomStreamsAreWhatTheModelSays publishes at random, many messages to an entry, some in transactions that fail.
func TestRandomStreamsAreWhatTheModelSays(t *testing.T) {
	rng := newRand(t)
	r := newRig(t)
	const countMax = 20
	r.mustStream(structs.StreamCreate, "s", limits(structs.StreamLimits{MessagesMax: countMax, Dedupe: time.Minute}))
	var model []string
	type seen struct {
		seq uint64
		at  time.Time
	}
	ids := map[string]seen{}
	last := uint64(0)
	for round := range 500 {
		r.now = r.now.Add(time.Duration(rng.IntN(5)) * time.Second)
		r.entry(func(tx *Txn) {
			for range 1 + rng.IntN(30) {
				id := ""
				if rng.IntN(2) == 0 {
					id = fmt.Sprint("id", rng.IntN(40))
				}
				m := message("s", fmt.Sprint(round), id)
				if rng.IntN(6) == 0 {
					bad := message("nowhere", "")
					req := &structs.TxnRequest{Ops: []structs.TxnOp{{Publish: &m}, {Publish: &bad}}}
					req.Namespace = ns
					tx.Txn(req)
					continue
				}
				req := &structs.StreamPublishRequest{Messages: []structs.StreamMessage{m}}
				req.Namespace = ns
				got, err := tx.Publish(req)
				if err != nil {
					t.Fatal(err)
				}
				was, known := ids[id]
				known = known && id != "" && r.now.Sub(was.at) < time.Minute
				if got.Published[0].Duplicate != known || known && got.Published[0].Seq != was.seq {
					t.Fatalf("round %d, id %q: %+v, the model says %v %+v", round, id, got.Published[0], known, was)
				}
				if known {
					continue
				}
				last++
				ids[id] = seen{last, r.now}
				model = append(model, fmt.Sprintf("%d s %s", last, m.Data))
				model = model[max(0, len(model)-countMax):]
			}
		})
		if got := r.kept("s"); !slices.Equal(got, model) {
			t.Fatalf("round %d: %v\nthe model: %v", round, got, model)
		}
	}
	remembered := 0
	for range scan[structs.StreamPublication](nil, r.s.view(nil).tx, tablePublications, indexID, nil) {
		remembered++
	}
	if remembered > 40 {
		t.Errorf("%d ids are remembered", remembered)
	}
}
