package server

import (
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

func TestMessagesAgeWhereNothingIsPublished(t *testing.T) {
	c := newCluster(t, 1, nil)
	n := c.leader()
	o := structs.WriteOptions{Namespace: structs.DefaultNamespace}
	for _, x := range []struct {
		t    structs.CommandType
		body any
	}{
		{structs.CommandStream, &structs.StreamRequest{WriteOptions: o, Op: structs.StreamCreate, Stream: structs.Stream{Name: "s", Limits: structs.StreamLimits{AgeMax: time.Second}}}},
		{structs.CommandPublish, &structs.StreamPublishRequest{WriteOptions: o, Messages: []structs.StreamMessage{{Topic: "s"}, {Topic: "s.a"}}}},
	} {
		if _, _, err := n.Apply(t.Context(), x.t, x.body); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the messages to go", func() bool {
		_, row, _ := n.State().StreamGet(nil, o.Namespace, "s")
		return row.LastSeq == 2 && row.Count() == 0 && row.Bytes == 0
	})
}
