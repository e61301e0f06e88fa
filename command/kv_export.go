package command

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/debros/debros/api"
)

// exported is one pair of an export, in the form of "consul kv export". The value is base64.
type exported struct {
	Key       string `json:"key"`
	Flags     uint64 `json:"flags"`
	Value     []byte `json:"value"`
	Namespace string `json:"namespace,omitempty"`
}

func export(p *api.KVPair) exported {
	return exported{Key: p.Key, Flags: p.Flags, Value: p.Value, Namespace: p.Namespace}
}

func kvExportCommand() *cmd {
	return &cmd{
		name: "kv export", args: "[PREFIX]", synopsis: "Write all pairs under a prefix as JSON", max: 1,
		help: `The result is one JSON object per line, with the value in base64, or with -format=json an array in
the form of "consul kv export". Both can be read by 'debros kv import'. Locks and expiry are not part of
it; for those, save a snapshot.`,
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			prefix := ""
			if len(c.args) == 1 {
				prefix = c.args[0]
			}
			out := newArray(c.Stdout)
			enc := json.NewEncoder(c.Stdout)
			enc.SetEscapeHTML(false)
			none := true
			for p, err := range client.KV().Pairs(ctx, prefix, c.query()) {
				if err != nil {
					return fmt.Errorf("the export is not complete: %w", err)
				}
				none = false
				if c.format == "json" {
					err = out.add(export(p))
				} else {
					err = enc.Encode(export(p))
				}
				if err != nil {
					return err
				}
			}
			if none {
				if err := c.needNamespace(ctx, client); err != nil {
					return err
				}
			}
			if c.format == "json" {
				return out.close()
			}
			return nil
		},
	}
}
