package api_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/structs"
)

// TestTypesHaveTheJSONOfTheServers fills each of the servers' types, every field of it, with values of its own and holds
// that ours reads them all and writes the same JSON again.
func TestTypesHaveTheJSONOfTheServers(t *testing.T) {
	for _, c := range []struct{ theirs, ours any }{
		{&structs.KVPair{}, &api.KVPair{}},
		{&structs.KVCount{}, &struct{ Count int64 }{}},
		{&structs.Session{}, &api.SessionEntry{}},
		{&structs.NamespaceInfo{}, &api.Namespace{}},
		{&structs.AutopilotConfiguration{}, &api.AutopilotConfig{}},
		{&structs.AutopilotHealth{}, &api.AutopilotHealth{}},
		{&structs.AutopilotState{}, &api.AutopilotState{}},
		{&structs.RaftConfiguration{}, &api.RaftConfiguration{}},
		{&structs.VerifyReport{}, &api.VerifyReport{}},
		{&structs.KeyringResponse{}, &api.Keyring{}},
		{&structs.CatalogNode{}, &api.Node{}},
		{&structs.CoordinateEntry{}, &api.Coordinate{}},
		{&structs.TxnResponse{}, &api.TxnReply{}},
		{&structs.StreamBody{}, &api.Stream{}},
		{&structs.ConsumerBody{}, &api.StreamConsumer{}},
		{&structs.MessageBody{}, &api.Message{}},
		{&structs.PublishedBody{}, &api.Published{}},
		{&structs.Health{}, &api.Health{}},
		{&structs.NetworkSelf{}, &api.NetworkSelf{}},
		{&structs.NetworkPeer{}, &api.NetworkPeer{}},
		{&structs.NetworkAddrs{}, &api.NetworkAddrs{}},
		{&structs.NetworkPing{}, &api.NetworkPing{}},
		{&structs.NetworkRecord{}, &api.NetworkRecord{}},
	} {
		t.Run(reflect.TypeOf(c.theirs).Elem().Name(), func(t *testing.T) {
			n := 0
			fill(reflect.ValueOf(c.theirs).Elem(), &n)
			want := tree(t, c.theirs)
			raw, err := json.Marshal(c.theirs)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, c.ours); err != nil {
				t.Fatal(err)
			}
			if got := tree(t, c.ours); !reflect.DeepEqual(got, want) {
				g, _ := json.MarshalIndent(got, "", " ")
				w, _ := json.MarshalIndent(want, "", " ")
				t.Errorf("ours:\n%s\ntheirs:\n%s", g, w)
			}
		})
	}
}

// A member is ours to name: its JSON is Consul's with a number for the status.
func TestMemberReadsTheServersJSON(t *testing.T) {
	theirs, n := structs.AgentMember{}, 0
	fill(reflect.ValueOf(&theirs).Elem(), &n)
	theirs.Status, theirs.StatusName = 4, structs.MemberFailed
	theirs.Role, theirs.Ports = structs.RoleServer, map[string]int{"http": 5001}
	raw, err := json.Marshal(theirs)
	if err != nil {
		t.Fatal(err)
	}
	var m api.Member
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	if m.Status != api.MemberFailed || m.Role != "server" || m.Ports["http"] != 5001 || m.ID != string(theirs.ID) || m.Expect != theirs.Expect {
		t.Errorf("got %+v of %s", m, raw)
	}
	fields := reflect.ValueOf(m)
	for i := range fields.NumField() {
		switch name := fields.Type().Field(i).Name; {
		case name == "Protocol", name == "FSM": // in the tags
		case fields.Field(i).IsZero():
			t.Errorf("%s is not in what the servers say: %s", name, raw)
		}
	}
}

func TestKindsAreThoseOfTheServers(t *testing.T) {
	ours := []api.Kind{
		api.KindInternal, api.KindInvalid, api.KindNotFound, api.KindConflict, api.KindDenied, api.KindTooLarge, api.KindRateLimited,
		api.KindNoLeader, api.KindUnavailable, api.KindUnknownResult, api.KindQuota, api.KindNoPath, api.KindUnsupported, api.KindCanceled, api.KindGone,
	}
	for i, k := range ours {
		if string(k) != structs.Kind(i).String() {
			t.Errorf("kind %d: %q, the servers say %q", i, k, structs.Kind(i))
		}
	}
	if s := structs.Kind(len(ours)).String(); s != structs.KindInternal.String() {
		t.Errorf("the servers have a kind %q that we lack", s)
	}
}

func tree(t *testing.T, v any) any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// fill sets every field to a value that is not its zero and, as far as it goes, not another's.
func fill(v reflect.Value, n *int) {
	*n++
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, *n%60, 0, time.UTC)))
		return
	}
	if v.Type() == reflect.TypeFor[json.RawMessage]() { // what SQL gave
		v.SetBytes([]byte(`{"Results":[{"rows_affected":2,"last_insert_id":9,"columns":["a"],"types":["int"],"rows":[[1],[2.5],[{"blob":"AP8="}],[null]]},{}]}`))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("s" + string(rune('a'+*n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt(int64(*n))
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint8:
		v.SetUint(uint64(*n))
	case reflect.Float64:
		v.SetFloat(float64(*n) / 2)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), n)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n)
		fill(value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), n)
			}
		}
	}
}
