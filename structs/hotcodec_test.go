package structs

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// hot is a request of each kind that encodes itself, with members drawn from the edges of their types.
func hot(r *rand.Rand) []any {
	text := func() string {
		return strings.Repeat("ä\x00\xff"[:1+r.IntN(4)], []int{0, 1, 7, 31, 32, 255, 256}[min(r.IntN(8), 6)])
	}
	blob := func() []byte {
		if r.IntN(3) == 0 {
			return nil
		}
		return []byte(text())
	}
	uint := func() uint64 {
		return []uint64{0, 1, 127, 128, 255, 256, math.MaxUint16, math.MaxUint16 + 1, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64, math.MaxUint64}[r.IntN(12)]
	}
	int := func() int64 { return int64(uint()) >> r.IntN(2) * int64(1-2*r.IntN(2)) }
	flip := func() bool { return r.IntN(2) == 0 }
	options := WriteOptions{Token: text(), Namespace: Namespace(text()), Datacenter: text(), Forwarded: flip()}
	if flip() {
		options.Namespace = DefaultNamespace
	}
	kv := &KVRequest{WriteOptions: options, Op: []KVOp{KVSet, KVCAS, "", KVOp(text())}[r.IntN(4)], TTL: int(), KV: KVPair{
		LockIndex: uint(), Key: text(), Flags: uint(), Value: blob(), Session: text(), Namespace: options.Namespace,
		CreateIndex: uint(), ModifyIndex: uint(), FencingToken: uint(), ExpiresAt: int()}}
	sql := &SQLRequest{WriteOptions: options, Database: text(), Transaction: flip(), RequestID: text(), WorkMax: int(), TempBytesMax: int(), RowsMax: int32Of(int()), BytesMax: int32Of(int())}
	for range r.IntN(20) {
		st := SQLStatement{SQL: text(), Args: blob()}
		if r.IntN(30) == 0 {
			st.Names = []string{text()}
		}
		sql.Statements = append(sql.Statements, st)
	}
	if r.IntN(10) == 0 {
		sql.Guards = []SQLGuard{{SQLStatement: SQLStatement{SQL: text()}}}
	}
	entry := &Entry{Time: int(), Seed: uint()}
	for range r.IntN(20) {
		entry.Commands = append(entry.Commands, Command{Type: CommandType(r.IntN(256)), Body: blob()})
	}
	texts := func() (list []string) {
		for range r.IntN(5) {
			list = append(list, text())
		}
		return list
	}
	chunk := &SQLChunk{}
	if flip() {
		chunk.Begin = &SQLBegin{QueryMeta: QueryMeta{Index: uint(), KnownLeader: flip(), LastContact: time.Duration(int()), NextToken: text()}, Columns: texts(), Types: texts()}
	}
	for range r.IntN(20) {
		chunk.Rows = append(chunk.Rows, blob())
	}
	if flip() {
		chunk.Done = &SQLDone{Rows: int(), Elapsed: int()}
		if r.IntN(10) == 0 {
			chunk.Done.Err = Errorf(KindInvalid, "no")
		}
	}
	publish := &StreamPublishRequest{WriteOptions: options}
	for range r.IntN(20) {
		m := StreamMessage{Namespace: options.Namespace, Stream: text(), Seq: uint(), Time: int(), Topic: text(), ID: text(), Data: blob()}
		if r.IntN(60) == 0 {
			m.Headers = map[string]string{text(): text()}
		}
		publish.Messages = append(publish.Messages, m)
	}
	return []any{kv, sql, entry, chunk, publish, &KVRequest{}, &SQLRequest{}, &Entry{}, &SQLChunk{}, &StreamPublishRequest{}}
}

func int32Of(v int64) int { return int(int32(v)) }

// same is reflect.DeepEqual of what the generic codec and the others read from the same bytes.
func same(t *testing.T, data []byte, like any) {
	t.Helper()
	fresh := func() any { return reflect.New(reflect.TypeOf(like).Elem()).Interface() }
	generic, hot := fresh(), fresh()
	err := decodeAny(data, generic)
	if !decodeHot(data, hot) {
		return // the generic codec decides
	}
	if err != nil {
		t.Fatalf("%T: read what the generic codec refuses with %v: %.300q", like, err, data)
	}
	if !reflect.DeepEqual(generic, hot) {
		t.Fatalf("%T from %.300q:\n%.300v\nthe generic codec:\n%.300v", like, data, hot, generic)
	}
}

// TestHotRequestsLookAsTheGenericCodecWritesThem: the log of a mixed cluster has one format.
func TestHotRequestsLookAsTheGenericCodecWritesThem(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	quick := map[reflect.Type]int{}
	const rounds = 500
	for range rounds {
		for _, v := range hot(r) {
			want, err := encodeAny(v)
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := appendHot(nil, v); ok {
				quick[reflect.TypeOf(v)]++
				if !bytes.Equal(got, want) {
					t.Fatalf("%T, a draw:\n%.300q\nthe generic codec:\n%.300q", v, got, want)
				}
			}
			back := reflect.New(reflect.TypeOf(v).Elem()).Interface()
			if decodeHot(want, back) {
				quick[reflect.TypeOf(v)]++
			}
			same(t, want, v)
		}
	}
	if len(quick) != 5 {
		t.Fatalf("only %v took the quick way", quick)
	}
	for kind, n := range quick {
		if n < 2*rounds/3 {
			t.Errorf("%v took the quick way %d times", kind, n)
		}
	}
}

// TestHotRequestsKnowAllTheirMembers: a member that somebody adds must not be lost on its way to the log.
func TestHotRequestsKnowAllTheirMembers(t *testing.T) {
	for _, v := range []any{&KVRequest{}, &SQLRequest{}, &Entry{}, &SQLChunk{}, &StreamPublishRequest{}} {
		fill(reflect.ValueOf(v).Elem())
		want, err := encodeAny(v)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := appendHot(nil, v)
		if !ok {
			t.Fatalf("%T is left to the generic codec", v)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%T:\n%q\nthe generic codec:\n%q", v, got, want)
		}
		back := reflect.New(reflect.TypeOf(v).Elem()).Interface()
		if !decodeHot(want, back) || !reflect.DeepEqual(back, v) {
			t.Errorf("%T: read %+v, want %+v", v, back, v)
		}
	}
}

// fill sets every member to something, but for those with which a request is left to the generic codec.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			switch v.Type().Field(i).Name {
			case "Guards", "Names", "Err", "Headers":
			default:
				fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(7)
	default:
		panic(v.Kind())
	}
}

// TestAHotDecoderKeepsNothingOfTheMessage: a value in the state must not hold a whole log entry.
func TestAHotDecoderKeepsNothingOfTheMessage(t *testing.T) {
	data, err := Encode(&KVRequest{Op: KVSet, KV: KVPair{Key: "key", Value: []byte("value")}})
	if err != nil {
		t.Fatal(err)
	}
	var r KVRequest
	if !decodeHot(data, &r) {
		t.Fatal("not decoded")
	}
	clear(data)
	if r.KV.Key != "key" || string(r.KV.Value) != "value" || r.Op != KVSet {
		t.Fatalf("%+v changed with the message", r)
	}
}

func FuzzHotDecoders(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		for _, v := range hot(r) {
			data, err := encodeAny(v)
			if err != nil {
				f.Fatal(err)
			}
			if len(data) < 10_000 {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, like := range []any{&KVRequest{}, &SQLRequest{}, &Entry{}, &SQLChunk{}} {
			same(t, data, like)
		}
	})
}

// BenchmarkKVRequest compares the two ways that a put is written and read.
func BenchmarkKVRequest(b *testing.B) {
	req := &KVRequest{Op: KVSet, KV: KVPair{Key: "app/users/000001/profile", Value: make([]byte, 256), Namespace: DefaultNamespace}}
	data, err := encodeAny(req)
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string, do func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("encode/hot", func() error { _, err := Encode(req); return err })
	run("encode/generic", func() error { _, err := encodeAny(req); return err })
	run("decode/hot", func() error { return Decode(data, new(KVRequest)) })
	run("decode/generic", func() error { return decodeAny(data, new(KVRequest)) })
}

func BenchmarkStreamPublishRequest(b *testing.B) {
	req := &StreamPublishRequest{WriteOptions: WriteOptions{Namespace: DefaultNamespace}, Messages: []StreamMessage{{Topic: "orders.eu", Data: make([]byte, 128)}}}
	data, err := encodeAny(req)
	if err != nil {
		b.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"encode/hot":     func() error { _, err := Encode(req); return err },
		"encode/generic": func() error { _, err := encodeAny(req); return err },
		"decode/hot":     func() error { return Decode(data, new(StreamPublishRequest)) },
		"decode/generic": func() error { return decodeAny(data, new(StreamPublishRequest)) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestHotEncodersKnowEveryMember: a member that is added to a request must not be lost on its way into the log.
func TestHotEncodersKnowEveryMember(t *testing.T) {
	for _, v := range []any{&SQLRequest{}, &KVRequest{}, &Entry{}} {
		fillMembers(reflect.ValueOf(v).Elem())
		hot, ok := appendHot(nil, v)
		if r, is := v.(*SQLRequest); is && !ok { // as it is with guards and names
			r.Guards, r.Statements[0].Names = nil, nil
			hot, ok = appendHot(nil, v)
		}
		back := reflect.New(reflect.TypeOf(v).Elem()).Interface()
		if err := decodeAny(hot, back); !ok || err != nil || !reflect.DeepEqual(v, back) {
			t.Errorf("%T: %v, %v: wrote %+v and read %+v", v, ok, err, v, back)
		}
	}
}

// fillMembers gives every member a value that is not zero.
func fillMembers(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fillMembers(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillMembers(v.Index(0))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillMembers(v.Elem())
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(7)
	default:
		v.SetInt(7)
	}
}
