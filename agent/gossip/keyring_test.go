package gossip

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

func keyringOf(t *testing.T, path string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := parseKeyring(data)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// keyringOp repeats an operation that not every member answered in time, as its hint says.
func keyringOp(t *testing.T, g *Gossip, op structs.KeyringOp, key string) (rep KeyringReport, err error) {
	t.Helper()
	eventually(t, "answers to "+string(op), func() bool {
		rep, err = g.Keyring(t.Context(), op, key)
		return !errors.Is(err, structs.ErrUnavailable)
	})
	return rep, err
}

func TestKeyRotationReachesEveryMemberAndItsFile(t *testing.T) {
	t.Parallel()
	oldKey, newKey := key(t), key(t)
	oldText, newText := base64.StdEncoding.EncodeToString(oldKey), base64.StdEncoding.EncodeToString(newKey)
	var gs []*Gossip
	var cfgs []Config
	for _, name := range []string{"a", "b", "c"} {
		cfg := testConfig(name)
		cfg.Keys = [][]byte{oldKey}
		cfg.KeyringFile = filepath.Join(t.TempDir(), "serf", "keyring.json") // the directory is made
		cfg.Tuning.GossipInterval = 100 * time.Millisecond                   // members have 16 of these to answer
		gs, cfgs = append(gs, start(t, cfg)), append(cfgs, cfg)
	}
	join(t, gs[1], gs[0])
	join(t, gs[2], gs[0])
	for _, g := range gs {
		eventually(t, "all three", func() bool { return len(g.Members()) == 3 })
	}
	if _, err := keyringOp(t, gs[0], structs.KeyringInstall, newText); err != nil {
		t.Fatal(err)
	}
	rep, err := keyringOp(t, gs[1], structs.KeyringList, "")
	if err != nil || rep.Keys[newText] != 3 || rep.Keys[oldText] != 3 || rep.PrimaryKeys[oldText] != 3 || rep.NumNodes != 3 {
		t.Errorf("list: %+v, %v", rep, err)
	}
	if rep, err := keyringOp(t, gs[0], structs.KeyringRemove, oldText); !errors.Is(err, structs.ErrConflict) || len(rep.Messages) != 3 {
		t.Errorf("removing the primary key: %+v, %v", rep, err)
	}
	if _, err := keyringOp(t, gs[0], structs.KeyringUse, newText); err != nil {
		t.Fatal(err)
	}
	if _, err := keyringOp(t, gs[2], structs.KeyringRemove, oldText); err != nil {
		t.Fatal(err)
	}
	for i, cfg := range cfgs {
		eventually(t, "the file has the new key only", func() bool {
			keys := keyringOf(t, cfg.KeyringFile)
			return len(keys) == 1 && bytes.Equal(keys[0], newKey)
		})
		fi, err := os.Stat(cfg.KeyringFile)
		if err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("mode of keyring %d: %v, %v", i, fi.Mode(), err)
		}
	}
	// After a restart the file counts, not the key of the configuration.
	if err := gs[2].Shutdown(); err != nil {
		t.Fatal(err)
	}
	c := start(t, cfgs[2])
	join(t, c, gs[0])
}

func TestAnOperationThatChangesNothingLeavesNoFileBehind(t *testing.T) {
	t.Parallel()
	cfg := testConfig("a")
	cfg.Keys = [][]byte{key(t)}
	cfg.KeyringFile = filepath.Join(t.TempDir(), "keyring.json")
	a := start(t, cfg)
	if _, err := keyringOp(t, a, structs.KeyringRemove, base64.StdEncoding.EncodeToString(key(t))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "serf's file to be gone", func() bool {
		_, err := os.Stat(cfg.KeyringFile + keyringPending)
		return errors.Is(err, fs.ErrNotExist)
	})
	if keys := keyringOf(t, cfg.KeyringFile); len(keys) != 1 || !bytes.Equal(keys[0], cfg.Keys[0]) {
		t.Errorf("the keyring now holds %d keys", len(keys))
	}
}

func TestKeyringAnswersBadRequests(t *testing.T) {
	plain := start(t, testConfig("plain"))
	if _, err := plain.Keyring(t.Context(), structs.KeyringList, ""); !errors.Is(err, structs.ErrInvalid) {
		t.Errorf("unencrypted pool: %v", err)
	}
	cfg := testConfig("a")
	cfg.Keys = [][]byte{key(t)}
	a := start(t, cfg)
	for _, bad := range []string{"", "!", "AAAA"} {
		_, err := a.Keyring(t.Context(), structs.KeyringInstall, bad)
		if !errors.Is(err, structs.ErrInvalid) || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("key %q: %v", bad, err)
		}
	}
	if _, err := a.Keyring(t.Context(), "melt", base64.StdEncoding.EncodeToString(key(t))); !errors.Is(err, structs.ErrInvalid) {
		t.Errorf("unknown operation: %v", err)
	}
}

func TestKeyringSurvivesCrashes(t *testing.T) {
	older, newer := [][]byte{key(t)}, [][]byte{key(t), key(t)}
	encode := func(keys [][]byte) []byte {
		data, err := encodeKeyring(keys)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, c := range map[string]struct {
		file, pending []byte
		want          [][]byte
		bad           bool
	}{
		"before serf wrote":           {file: encode(older), want: older},
		"while serf wrote":            {file: encode(older), pending: encode(newer)[:40], want: older},
		"before serf's file is moved": {file: encode(older), pending: encode(newer), want: newer},
		"truncated to nothing":        {file: encode(older), pending: []byte{}, want: older},
		"first start":                 {want: [][]byte{[]byte("0123456789abcdef")}},
		"the file itself is broken":   {file: []byte(`["AAAA"]`), bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keyring")
			for p, data := range map[string][]byte{path: c.file, path + keyringPending: c.pending} {
				if data == nil {
					continue
				}
				if err := os.WriteFile(p, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			ring, err := openKeyring(&Config{KeyringFile: path, Keys: [][]byte{[]byte("0123456789abcdef")}})
			if c.bad {
				if !errors.Is(err, structs.ErrInvalid) {
					t.Fatalf("error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(ring.GetKeys(), c.want, bytes.Equal) {
				t.Errorf("%d keys, want %d", len(ring.GetKeys()), len(c.want))
			}
			if !slices.EqualFunc(keyringOf(t, path), c.want, bytes.Equal) {
				t.Error("the file has other keys")
			}
			if _, err := os.Stat(path + keyringPending); err == nil {
				t.Error("serf's file is still there")
			}
		})
	}
}

func FuzzKeyringFile(f *testing.F) {
	f.Add([]byte(`["AAAAAAAAAAAAAAAAAAAAAA=="]`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`["x"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseKeyring(data)
		if err != nil {
			return
		}
		again, err := encodeKeyring(keys)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseKeyring(again)
		if err != nil || !slices.EqualFunc(keys, back, bytes.Equal) {
			t.Fatalf("round trip: %v", err)
		}
	})
}
