package rpc

import (
	"context"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

func (s *service) streamMethods() []transport.Method {
	return []transport.Method{
		write(s, "Stream.Apply", s.streamApply),
		write(s, "Stream.Publish", s.streamPublish),
		read(s, "Stream.Get", s.streamGet),
		read(s, "Stream.List", s.streamList),
		read(s, "Stream.Read", s.streamRead),
	}
}

func (s *service) streamApply(ctx context.Context, c call, req *structs.StreamRequest, rep *structs.StreamReply) error {
	name := req.Stream.Name
	if err := checkStream(name); err != nil {
		return err
	}
	out := &structs.StreamRequest{WriteOptions: logged(c), Op: req.Op, Stream: structs.Stream{Name: name}, Seq: req.Seq}
	mayAdmin, right := c.may.StreamWrite(c.ns, name), "stream:write"
	switch req.Op {
	case structs.StreamCreate, structs.StreamUpdate:
		if err := checkStreamLimits(req.Stream.Limits); err != nil {
			return err
		}
		out.Stream.Limits = req.Stream.Limits
	case structs.StreamDelete, structs.StreamPurge:
	case structs.StreamConsumerSet, structs.StreamConsumerDelete, structs.StreamAck:
		mayAdmin, right = c.may.TopicRead(c.ns, name), "topic:read"
		if err := checkConsumer(req.Consumer); err != nil {
			return err
		}
		out.Consumer = structs.StreamConsumer{Name: req.Consumer.Name, Filter: req.Consumer.Filter, Acked: req.Consumer.Acked}
	default:
		return structs.Errorf(structs.KindInvalid, "unknown stream operation %q", clip(string(req.Op)))
	}
	if !mayAdmin {
		return denied(right, name)
	}
	r, index, err := propose[structs.StreamReply](ctx, s, structs.CommandStream, out)
	if err != nil {
		return err
	}
	*rep = *r
	rep.Index = index
	return nil
}

func (s *service) streamPublish(ctx context.Context, c call, req *structs.StreamPublishRequest, rep *structs.StreamPublishReply) error {
	switch n := len(req.Messages); {
	case n == 0:
		return structs.Errorf(structs.KindInvalid, "there is no message to publish")
	case n > structs.PublishMessagesMax:
		return structs.Errorf(structs.KindTooLarge, "%d messages; the limit of one request is %d", n, structs.PublishMessagesMax)
	}
	out := &structs.StreamPublishRequest{WriteOptions: logged(c), Messages: make([]structs.StreamMessage, len(req.Messages))}
	var size int64
	for i := range req.Messages {
		m, err := proposableMessage(c, &req.Messages[i])
		if err != nil {
			return err
		}
		out.Messages[i] = m
		size += m.Bytes()
	}
	if size > structs.PublishBytesMax {
		return structs.Errorf(structs.KindTooLarge, "the messages have %d bytes; the limit of one request is %d", size, structs.PublishBytesMax)
	}
	r, index, err := propose[structs.StreamPublishReply](ctx, s, structs.CommandPublish, out)
	if err != nil {
		return err
	}
	*rep = *r
	rep.Index = index
	return nil
}

// proposableMessage is a message as a client may give it, checked.
func proposableMessage(c call, m *structs.StreamMessage) (structs.StreamMessage, error) {
	none := structs.StreamMessage{}
	if err := structs.CheckTopic(m.Topic); err != nil {
		return none, err
	}
	if !c.may.TopicWrite(c.ns, m.Topic) {
		return none, denied("topic:write", m.Topic)
	}
	if len(m.ID) > structs.MessageIDBytesMax || !printable(m.ID) {
		return none, structs.Errorf(structs.KindInvalid, "invalid id %q of a message", clip(m.ID)).
			WithHint("at most %d bytes that print", structs.MessageIDBytesMax)
	}
	if err := structs.CheckHeaders(m.Headers); err != nil {
		return none, err
	}
	if n := m.Bytes(); n > structs.MessageBytesMax {
		return none, structs.Errorf(structs.KindTooLarge, "the message has %d bytes; the limit is %d", n, structs.MessageBytesMax)
	}
	return structs.StreamMessage{Topic: m.Topic, ID: m.ID, Headers: m.Headers, Data: m.Data}, nil
}

func (s *service) streamGet(ctx context.Context, c call, req *structs.StreamGetRequest, rep *structs.StreamGetReply) error {
	if err := mayReadStream(c, req.Name); err != nil {
		return err
	}
	return s.query(ctx, &req.QueryOptions, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		idx, rep.Stream, rep.Consumers = s.b.State().StreamGet(ws, c.ns, req.Name)
		return idx, rep.Stream != nil
	})
}

func (s *service) streamList(ctx context.Context, c call, req *structs.StreamListRequest, rep *structs.StreamListReply) error {
	after, err := decodeToken(req.NextToken, "")
	if err != nil {
		return err
	}
	name := func(x *structs.Stream) string { return x.Name }
	return s.query(ctx, &req.QueryOptions, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		idx, all := s.b.State().StreamList(ws, c.ns)
		idx, rep.Streams, rep.NextToken = pager[*structs.Stream]{
			fetch: fetchSlice(idx, all, name), key: name,
			see: func(x *structs.Stream) bool { return c.may.TopicRead(c.ns, x.Name) },
		}.page(perPage(&req.QueryOptions), after)
		return idx, len(rep.Streams) > 0
	})
}

// streamRead answers with messages, or, when req.Index is set, waits until there are some.
func (s *service) streamRead(ctx context.Context, c call, req *structs.StreamReadRequest, rep *structs.StreamReadReply) error {
	if err := mayReadStream(c, req.Name); err != nil {
		return err
	}
	if req.Filter != "" {
		if err := structs.CheckTopicPattern(req.Filter); err != nil {
			return err
		}
	}
	if req.Limit < 0 || req.Since < 0 {
		return structs.Errorf(structs.KindInvalid, "a limit or a time is not negative")
	}
	limit := req.Limit
	if limit == 0 || limit > structs.StreamReadMax {
		limit = structs.StreamReadMax
	}
	var missing bool
	err := s.query(ctx, &req.QueryOptions, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		st := s.b.State()
		from, filter := req.From, req.Filter
		if missing = false; req.Consumer != "" {
			consumer := st.StreamConsumer(nil, c.ns, req.Name, req.Consumer)
			if missing = consumer == nil; !missing {
				// What a consumer acknowledged and what it got without that: whichever is further.
				if from = max(from, consumer.Acked+1); filter == "" {
					filter = consumer.Filter
				}
			}
		}
		idx, rep.Stream, rep.Messages, rep.Next, rep.Lost = st.StreamRead(ws, c.ns, req.Name, state.StreamRange{
			From: from, Since: req.Since, Filter: filter, Limit: limit, BytesMax: structs.StreamReadBytesMax,
		})
		if ws != nil && rep.Stream != nil && !missing && len(rep.Messages) == 0 && rep.Next > rep.Stream.LastSeq {
			return min(idx, req.Index), false // messages that the filter leaves out are no news
		}
		return idx, true
	})
	switch {
	case err != nil:
		return err
	case rep.Stream == nil:
		return structs.Errorf(structs.KindNotFound, "there is no stream %q", req.Name)
	case missing:
		return structs.Errorf(structs.KindNotFound, "the stream %q has no consumer %q", req.Name, clip(req.Consumer))
	}
	return nil
}

func mayReadStream(c call, name string) error {
	if err := checkStream(name); err != nil {
		return err
	}
	if !c.may.TopicRead(c.ns, name) {
		return denied("topic:read", name)
	}
	return nil
}

func checkStream(name string) error {
	if !structs.ValidTopic(name) {
		return structs.Errorf(structs.KindInvalid, "%q is no name of a stream", clip(name)).WithHint(structs.TopicHint)
	}
	return nil
}

// streamAgeMin is the least age or memory of ids: the servers look once in a second or so.
const streamAgeMin = time.Second

func checkStreamLimits(l structs.StreamLimits) error {
	switch {
	case l.MessagesMax < 0 || l.MessagesMax > structs.StreamMessagesMax:
		return structs.Errorf(structs.KindInvalid, "a stream keeps 1 to %d messages (0 = %d)", structs.StreamMessagesMax, structs.StreamMessagesDefault)
	case l.BytesMax < 0 || l.BytesMax > structs.StreamBytesMax:
		return structs.Errorf(structs.KindInvalid, "a stream keeps 1 to %d bytes (0 = %d)", structs.StreamBytesMax, structs.StreamBytesDefault).
			WithHint("every server holds all of it in memory")
	case l.AgeMax != 0 && l.AgeMax < streamAgeMin || l.AgeMax > keyTTLMax:
		return structs.Errorf(structs.KindInvalid, "the age of messages is at least %s (0 = any)", streamAgeMin)
	case l.Dedupe != 0 && l.Dedupe < streamAgeMin || l.Dedupe > structs.StreamDedupeMax:
		return structs.Errorf(structs.KindInvalid, "ids are remembered for %s to %s (0 = %s)", streamAgeMin, structs.StreamDedupeMax, structs.StreamDedupeDefault)
	}
	return nil
}

func checkConsumer(x structs.StreamConsumer) error {
	if x.Name == "" {
		return structs.Errorf(structs.KindInvalid, "missing name of the consumer")
	}
	if x.Filter != "" {
		if err := structs.CheckTopicPattern(x.Filter); err != nil {
			return err
		}
	}
	return checkName("name of the consumer", x.Name)
}
