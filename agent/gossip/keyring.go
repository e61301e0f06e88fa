package gossip

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/debros/debros/internal/atomicfile"
	"github.com/debros/debros/structs"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// The keyring on disk. serf changes a node's keys when a query from any member tells it to, and can
// write them to a file before it answers "done", but writes in place: a crash in the middle leaves half a
// file. So serf gets a file beside ours to write to, and what it wrote is put into ours with an
// atomic rename within keyringInterval. At start the file beside, if it is there and whole,
// is the newer one. An answer "done" thus survives a crash, and no crash loses the older keys.
const (
	keyringPending  = ".new" // suffix of the file that serf writes
	keyringInterval = time.Second
	keyringKeysMax  = 64
	keyringBytesMax = 16 << 10
)

// KeyringReport is what the members answered to a keyring operation.
type KeyringReport struct {
	Keys        map[string]int    // key (base64) to the number of members that have it; of a list only
	PrimaryKeys map[string]int    // key to the number of members that encrypt with it; of a list only
	NumNodes    int               // members asked
	Messages    map[string]string // member to its complaint
}

// parseKeyring reads the JSON form; the first key is the primary one.
func parseKeyring(data []byte) ([][]byte, error) {
	if len(data) > keyringBytesMax {
		return nil, fmt.Errorf("keyring has %d bytes, more than %d", len(data), keyringBytesMax)
	}
	var texts []string
	if err := json.Unmarshal(data, &texts); err != nil {
		return nil, fmt.Errorf("parse keyring: %w", err)
	}
	if len(texts) == 0 || len(texts) > keyringKeysMax {
		return nil, fmt.Errorf("keyring has %d keys", len(texts))
	}
	keys := make([][]byte, len(texts))
	for i, t := range texts {
		k, err := parseKey(t)
		if err != nil {
			return nil, fmt.Errorf("key %d of the keyring: %w", i, err)
		}
		keys[i] = k
	}
	return keys, nil
}

// parseKey reads one base64 key; errors never repeat it.
func parseKey(text string) ([]byte, error) {
	k, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("not base64")
	}
	if err := memberlist.ValidateKey(k); err != nil {
		return nil, fmt.Errorf("%d bytes, not 16, 24 or 32", len(k))
	}
	return k, nil
}

func encodeKeyring(keys [][]byte) ([]byte, error) {
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = base64.StdEncoding.EncodeToString(k)
	}
	data, err := json.MarshalIndent(texts, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode keyring: %w", err)
	}
	return data, nil
}

// openKeyring makes the keyring that the pool is encrypted with; nil when there are no keys.
func openKeyring(cfg *Config) (*memberlist.Keyring, error) {
	keys := cfg.Keys
	if cfg.KeyringFile != "" {
		stored, err := loadKeyring(cfg.KeyringFile)
		if err != nil {
			return nil, structs.Errorf(structs.KindInvalid, "keyring file %s: %v", cfg.KeyringFile, err).
				WithHint("restore the file from another member, or remove it to start from cluster_key")
		}
		if stored != nil {
			keys = stored
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	ring, err := memberlist.NewKeyring(keys, keys[0])
	if err != nil {
		return nil, fmt.Errorf("make keyring: %w", err)
	}
	if cfg.KeyringFile != "" {
		if err := os.MkdirAll(filepath.Dir(cfg.KeyringFile), 0o700); err != nil {
			return nil, fmt.Errorf("make directory for the keyring: %w", err)
		}
		if err := saveKeyring(cfg.KeyringFile, ring.GetKeys()); err != nil {
			return nil, err
		}
	}
	return ring, nil
}

// loadKeyring reads the newer whole file of the two; nil when there is none.
func loadKeyring(path string) ([][]byte, error) {
	if data, err := os.ReadFile(path + keyringPending); err == nil {
		if keys, err := parseKeyring(data); err == nil {
			return keys, nil
		} // torn by a crash: the file itself has the keys from before
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseKeyring(data)
}

// saveKeyring writes the file and removes the one that serf wrote.
func saveKeyring(path string, keys [][]byte) error {
	data, err := encodeKeyring(keys)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(path, data, 0o600); err != nil {
		return fmt.Errorf("save keyring: %w", err)
	}
	if err := os.Remove(path + keyringPending); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("save keyring: %w", err)
	}
	return nil
}

// keepKeyring saves the keys whenever they have changed, until done.
func (g *Gossip) keepKeyring() {
	saved := g.keyring.GetKeys()
	save := func() {
		// serf writes its file after the ring, and also when nothing changed: the keys are read last.
		_, err := os.Stat(g.cfg.KeyringFile + keyringPending)
		keys := g.keyring.GetKeys()
		if err != nil && slices.EqualFunc(keys, saved, bytes.Equal) {
			return
		}
		if err := saveKeyring(g.cfg.KeyringFile, keys); err != nil {
			g.log.Error("gossip keys changed and could not be saved; trying again", "error", err)
			return
		}
		saved = keys
	}
	tick := time.NewTicker(keyringInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			save()
		case <-g.done:
			save()
			return
		}
	}
}

// Keyring installs, uses (makes primary), removes or lists gossip keys on every member. key is
// base64; "" for a list. The report is filled as far as members answered, also with an error:
// KindInvalid for a bad key or an unencrypted pool, KindConflict when a member refused,
// KindUnavailable when one did not answer (the operation may be repeated).
func (g *Gossip) Keyring(ctx context.Context, op structs.KeyringOp, key string) (KeyringReport, error) {
	if g.keyring == nil {
		return KeyringReport{}, structs.Errorf(structs.KindInvalid, "gossip is not encrypted").WithHint("set cluster_key")
	}
	if op != structs.KeyringList {
		if _, err := parseKey(key); err != nil {
			return KeyringReport{}, structs.Errorf(structs.KindInvalid, "gossip key: %v", err).WithHint("make one with debros keygen")
		}
	}
	km := g.serf.KeyManager()
	var resp *serf.KeyResponse
	err := g.background(ctx, func() (err error) {
		switch op {
		case structs.KeyringList:
			resp, err = km.ListKeys()
		case structs.KeyringInstall:
			resp, err = km.InstallKey(key)
		case structs.KeyringUse:
			resp, err = km.UseKey(key)
		case structs.KeyringRemove:
			resp, err = km.RemoveKey(key)
		default:
			err = structs.Errorf(structs.KindInvalid, "unknown keyring operation %q", op)
		}
		return err
	})
	if ctx.Err() != nil || resp == nil {
		return KeyringReport{}, err
	}
	rep := KeyringReport{NumNodes: resp.NumNodes, Messages: resp.Messages}
	if op == structs.KeyringList {
		rep.Keys, rep.PrimaryKeys = resp.Keys, resp.PrimaryKeys
	}
	switch {
	case resp.NumErr > 0:
		return rep, structs.Errorf(structs.KindConflict, "%d of %d members refused: %s", resp.NumErr, resp.NumNodes, someMessage(resp.Messages))
	case resp.NumResp < resp.NumNodes:
		return rep, structs.Errorf(structs.KindUnavailable, "%d of %d members answered", resp.NumResp, resp.NumNodes).
			WithHint("repeat the operation; it is safe to")
	}
	return rep, err
}

func someMessage(m map[string]string) string {
	for name, text := range m {
		return name + ": " + text
	}
	return "no reason given"
}
