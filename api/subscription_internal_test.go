package api

import "testing"

func TestAMessageThatCameBeforeIsNoNews(t *testing.T) {
	s := &Subscription{heard: map[place]position{}}
	for i, c := range []struct {
		m    Message
		news bool
	}{
		{Message{Publisher: "a", Topic: "x.1", Epoch: 1, Seq: 5}, true},
		{Message{Publisher: "a", Topic: "x.2", Epoch: 1, Seq: 5}, false}, // numbers are of x
		{Message{Publisher: "a", Topic: "x.2", Epoch: 1, Seq: 6}, true},
		{Message{Publisher: "a", Topic: "y", Epoch: 1, Seq: 2}, true}, // may have numbers of its own
		{Message{Publisher: "b", Topic: "x.1", Epoch: 1, Seq: 1}, true},
		{Message{Publisher: "a", Topic: "x.1", Epoch: 2, Seq: 1}, true}, // a has restarted
		{Message{Publisher: "a", Topic: "x.1", Epoch: 1, Seq: 7}, false},
		{Message{Publisher: "a", Topic: "x.1", Epoch: 1, Seq: 3, Retained: true}, true},
	} {
		if got := s.news(&c.m); got != c.news {
			t.Errorf("message %d: news %v", i, got)
		}
	}
}
