//go:build unix

package main

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/debros/debros/api"
)

// messageBytes is the data of a published message.
const messageBytes = 128

// measureStream compares publishing to a durable topic, a message a request, with the bare pipeline at the same callers.
func measureStream(ctx context.Context, b *bench) error {
	leader, _, err := b.addrs(ctx)
	if err != nil {
		return err
	}
	p, err := b.pipeline(ctx)
	if err != nil {
		return err
	}
	client, err := api.New(api.Config{Address: leader})
	if err != nil {
		return err
	}
	defer client.Close()
	if _, _, err := client.Streams().Create(ctx, "bench", api.StreamSettings{}, nil); err != nil {
		return err
	}
	many, bare := httpSide("publish", callersMany, rawPublishes(leader)), bareSide(p, callersMany)
	if err := b.interleave(ctx, fmt.Sprintf("durable publish, %d callers", callersMany), many, bare); err != nil {
		return err
	}
	w := throughput(fmt.Sprintf("durable publish, %d callers, leader, %d bytes", callersMany, messageBytes), many.sum).against("bare", bare.sum.rate())
	w.Target = 0.4
	b.report.add(w)
	_, err = client.Streams().Delete(ctx, "bench", nil)
	return err
}

// rawPublishes makes callers that publish over a connection of their own.
func rawPublishes(addr string) func(int) (func() error, func(), error) {
	body := fmt.Appendf(nil, `{"data":%q}`, base64.StdEncoding.EncodeToString(value()[:messageBytes]))
	return func(int) (func() error, func(), error) {
		c, err := dial(addr)
		if err != nil {
			return nil, nil, err
		}
		return func() error { return c.do("POST", "/v1/pubsub/publish/bench", body) }, c.close, nil
	}
}
