package rpc

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/debros/debros/structs"
)

// Bounds of what requests carry beside keys and values. They keep a row, and so a log entry, small;
// the numbers of metadata are Consul's.
const (
	nameBytesMax        = 256
	descriptionBytesMax = 1024
	separatorBytesMax   = 256
	metaPairsMax        = 64
	metaKeyBytesMax     = 128
	metaValueBytesMax   = 512
	idBytesMax          = 64
	// keyTTLMax keeps "now + TTL" inside an int64 of nanoseconds (it ends in the year 2262).
	keyTTLMax = 100 * 365 * 24 * time.Hour
)

// checkKey refuses what cannot be a key: nothing, invalid UTF-8, control characters and whatever
// else does not print (as Consul does), more than structs.KeyBytesMax bytes.
func checkKey(key string) error {
	if key == "" {
		return structs.Errorf(structs.KindInvalid, "missing key name")
	}
	return checkPrefix(key)
}

// checkPrefix is checkKey for what may be empty.
func checkPrefix(prefix string) error {
	if len(prefix) > structs.KeyBytesMax {
		return structs.Errorf(structs.KindTooLarge, "the key is %d bytes long; the limit is %d bytes", len(prefix), structs.KeyBytesMax)
	}
	if !printable(prefix) {
		return structs.Errorf(structs.KindInvalid, "the key holds bytes that do not print").
			WithHint("a key is UTF-8 without control characters; encode binary keys, for example in base64")
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// checkName is for words that people read back: names of sessions, nodes.
func checkName(what, s string) error {
	if len(s) > nameBytesMax {
		return structs.Errorf(structs.KindTooLarge, "the %s is %d bytes long; the limit is %d bytes", what, len(s), nameBytesMax)
	}
	if !printable(s) {
		return structs.Errorf(structs.KindInvalid, "the %s holds bytes that do not print", what)
	}
	return nil
}

// checkID is for ids that we gave out.
func checkID(what, id string) error {
	switch {
	case id == "":
		return structs.Errorf(structs.KindInvalid, "missing %s", what)
	case len(id) > idBytesMax || !printable(id):
		return structs.Errorf(structs.KindInvalid, "invalid %s %q", what, clip(id))
	}
	return nil
}

// checkMeta bounds a metadata map.
func checkMeta(meta map[string]string) error {
	if len(meta) > metaPairsMax {
		return structs.Errorf(structs.KindTooLarge, "%d metadata pairs; the limit is %d", len(meta), metaPairsMax)
	}
	for k, v := range meta {
		switch {
		case k == "" || !printable(k) || !utf8.ValidString(v):
			return structs.Errorf(structs.KindInvalid, "invalid metadata pair %q", clip(k))
		case len(k) > metaKeyBytesMax || len(v) > metaValueBytesMax:
			return structs.Errorf(structs.KindTooLarge, "metadata pair %q is too large; the limits are %d bytes for a key, %d for a value",
				clip(k), metaKeyBytesMax, metaValueBytesMax)
		}
	}
	return nil
}

// checkKV refuses a write that can never succeed. What the store alone knows (sessions, indexes,
// lock-delays) it leaves to the store.
func checkKV(op structs.KVOp, kv *structs.KVPair, ttl int64, lim Limits) error {
	switch op {
	case structs.KVDeleteTree:
		if err := checkPrefix(kv.Key); err != nil {
			return err
		}
	case structs.KVSet, structs.KVCAS, structs.KVLock, structs.KVUnlock, structs.KVDelete, structs.KVDeleteCAS:
		if err := checkKey(kv.Key); err != nil {
			return err
		}
	default:
		return structs.Errorf(structs.KindInvalid, "unknown KV verb %q", clip(string(op)))
	}
	if len(kv.Value) > lim.ValueBytesMax {
		return structs.Errorf(structs.KindTooLarge, "the value is too large: %d bytes, the limit is %d bytes (limits.kv_value_bytes_max)",
			len(kv.Value), lim.ValueBytesMax)
	}
	if op == structs.KVLock || op == structs.KVUnlock {
		if err := checkID("session", kv.Session); err != nil {
			return err
		}
	}
	return checkTTL(op, ttl)
}

// checkTTL bounds the TTL of a key; only what writes a value may have one.
func checkTTL(op structs.KVOp, ttl int64) error {
	switch {
	case ttl == 0:
		return nil
	case op != structs.KVSet && op != structs.KVCAS && op != structs.KVLock:
		return structs.Errorf(structs.KindInvalid, "%s takes no ttl", op)
	case ttl < 0 || ttl > int64(keyTTLMax):
		return structs.Errorf(structs.KindInvalid, "the ttl must be above 0 and at most %s", keyTTLMax)
	}
	return nil
}

// proposable is the pair as a client may give it: what the store alone sets is blank.
func proposable(kv structs.KVPair, ns structs.Namespace) structs.KVPair {
	return structs.KVPair{
		Key: kv.Key, Value: kv.Value, Flags: kv.Flags, Session: kv.Session,
		ModifyIndex: kv.ModifyIndex, Namespace: ns,
	}
}
