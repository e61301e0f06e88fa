package sqldb

import (
	"fmt"
	"strings"
	"testing"
)

// TestAnIndexThatComplainsIsCopied: FTS5 finds fault with an index that it made itself with secure-delete. That must
// not keep a server from being copied.
func TestAnIndexThatComplainsIsCopied(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE VIRTUAL TABLE f USING fts5(c, tokenize = 'trigram', detail = none)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 60) INSERT INTO f (rowid, c) SELECT i, 'word' || i || ' ' || hex(randomblob(i)) || ' tail' FROM n",
		"UPDATE f SET c = c || ' again' WHERE rowid % 3 = 0", "INSERT INTO f (f, rank) VALUES ('secure-delete', 1), ('hashsize', 500)")
	for i := range 60 {
		r.entry(charged(request(fmt.Sprintf("UPDATE f SET rowid = rowid + 1000 WHERE rowid = %d", i)))) // some are refused: FTS5 finds its index corrupt
	}
	if got := r.query("PRAGMA integrity_check"); !strings.Contains(got, "fts5") {
		t.Skip("FTS5 is content with it now: ", got)
	}
	other := newReplica(t, Options{})
	other.installFrom(r)
	expect(t, other.hash(), r.hash())
}
