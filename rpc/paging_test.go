package rpc

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/debros/debros/internal/acl"
	"github.com/debros/debros/structs"
)

// walk reads a list to its end, page by page, and returns the keys of each page.
func walk(t *testing.T, page func(o structs.QueryOptions) (keys []string, next string), perPage int) [][]string {
	t.Helper()
	var pages [][]string
	o := structs.QueryOptions{PerPage: perPage}
	for range 1000 {
		keys, next := page(o)
		pages = append(pages, keys)
		if next == "" {
			return pages
		}
		o.NextToken = next
	}
	t.Fatal("the pages do not end")
	return nil
}

func kvPages(t *testing.T, b Backend, prefix string, perPage int) [][]string {
	return walk(t, func(o structs.QueryOptions) (keys []string, next string) {
		rep := mustAsk[structs.KVListReply](t, b, "KV.List", &structs.KVListRequest{QueryOptions: o, Prefix: prefix})
		for _, e := range rep.Entries {
			keys = append(keys, e.Key)
		}
		return keys, rep.NextToken
	}, perPage)
}

func TestPagesHoldEveryKeyOnce(t *testing.T) {
	b := newTestBackend(t)
	var want []string
	for i := range 10 {
		key := fmt.Sprintf("dir/%02d", i)
		want = append(want, key)
		b.set(t, key, "v")
	}
	b.set(t, "dir", "outside")
	b.set(t, "dir0", "outside")
	for _, perPage := range []int{0, 1, 3, 5, 10, 11, 1 << 40} {
		pages := kvPages(t, b, "dir/", perPage)
		if got := slices.Concat(pages...); !slices.Equal(got, want) {
			t.Errorf("per_page %d: %v", perPage, got)
		}
		for i, p := range pages {
			if perPage > 0 && i < len(pages)-1 && len(p) != perPage {
				t.Errorf("per_page %d: page %d has %d keys", perPage, i, len(p))
			}
		}
	}
}

// TestPagesOfGroupsHoldEveryGroupOnce: a page may end in the middle of what a group stands for.
func TestPagesOfGroupsHoldEveryGroupOnce(t *testing.T) {
	b := newTestBackend(t)
	for _, key := range []string{"a/1", "a/2", "a/3", "b", "c/1", "c/2", "d/x/y"} {
		b.set(t, key, "v")
	}
	want := []string{"a/", "b", "c/", "d/"}
	for perPage := range 6 {
		got := slices.Concat(walk(t, func(o structs.QueryOptions) ([]string, string) {
			rep := mustAsk[structs.KVKeysReply](t, b, "KV.Keys", &structs.KVListRequest{QueryOptions: o, Separator: "/"})
			return rep.Keys, rep.NextToken
		}, perPage)...)
		if !slices.Equal(got, want) {
			t.Errorf("per_page %d: %v, want %v", perPage, got, want)
		}
	}
}

// secretive hides keys that hold the word secret.
type secretive struct{ acl.Authorizer }

func (secretive) KVRead(_ structs.Namespace, key string) bool {
	return !strings.Contains(key, "secret")
}

func TestPagesHideWhatMayNotBeRead(t *testing.T) {
	b := newTestBackend(t)
	b.may = secretive{acl.AllowAll()}
	for _, key := range []string{"a", "b-secret", "c-secret", "d-secret", "e", "f", "g-secret"} {
		b.set(t, key, "v")
	}
	want := []string{"a", "e", "f"}
	for perPage := range 5 {
		pages := walk(t, func(o structs.QueryOptions) (keys []string, next string) {
			rep := mustAsk[structs.KVListReply](t, b, "KV.List", &structs.KVListRequest{QueryOptions: o})
			for _, e := range rep.Entries {
				keys = append(keys, e.Key)
			}
			raw, err := base64.RawURLEncoding.DecodeString(rep.NextToken)
			if err != nil || strings.Contains(string(raw), "secret") {
				t.Errorf("per_page %d: the token names a key that may not be read: %q (%v)", perPage, raw, err)
			}
			return keys, rep.NextToken
		}, perPage)
		if got := slices.Concat(pages...); !slices.Equal(got, want) {
			t.Errorf("per_page %d: %v, want %v", perPage, got, want)
		}
	}
}

func TestPagesOfLargeValuesEndEarly(t *testing.T) {
	b := newTestBackend(t)
	value := strings.Repeat("x", structs.ValueBytesMaxDefault)
	n := 2*pageBytesMax/len(value) + 3
	for i := range n {
		b.set(t, fmt.Sprintf("%04d", i), value)
	}
	pages := kvPages(t, b, "", n)
	if len(pages) < 3 {
		t.Errorf("%d pages for %d values of %d bytes", len(pages), n, len(value))
	}
	if got := len(slices.Concat(pages...)); got != n {
		t.Errorf("%d keys, want %d", got, n)
	}
	if pages := kvPages(t, b, "", 0); len(pages) != 1 {
		t.Errorf("%d pages without per_page, want everything at once", len(pages))
	}
}

func TestSessionsNamespacesAndNodesArePaged(t *testing.T) {
	b := newTestBackend(t)
	for i := range 5 {
		newSessionOn(t, b)
		mustAsk[structs.NamespaceReply](t, b, "Namespace.Apply", &structs.NamespaceRequest{
			Op: structs.NamespaceCreate, Namespace: structs.NamespaceInfo{Name: structs.Namespace(fmt.Sprintf("team-%d", i))},
		})
		name := fmt.Sprintf("node-%d", i)
		b.apply(t, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeUpsert, Node: structs.Node{ID: structs.NodeID(name), Name: name, Status: structs.NodeAlive}})
	}
	lists := map[string]func(o structs.QueryOptions) ([]string, string){
		"Session.List": func(o structs.QueryOptions) (keys []string, next string) {
			rep := mustAsk[structs.SessionListReply](t, b, "Session.List", &structs.SessionListRequest{QueryOptions: o})
			for _, s := range rep.Sessions {
				keys = append(keys, s.ID)
			}
			return keys, rep.NextToken
		},
		"Session.Node": func(o structs.QueryOptions) (keys []string, next string) {
			rep := mustAsk[structs.SessionListReply](t, b, "Session.Node", &structs.SessionGetRequest{QueryOptions: o, Node: "n1"})
			for _, s := range rep.Sessions {
				keys = append(keys, s.ID)
			}
			return keys, rep.NextToken
		},
		"Namespace.List": func(o structs.QueryOptions) (keys []string, next string) {
			rep := mustAsk[structs.NamespaceListReply](t, b, "Namespace.List", &structs.NamespaceListRequest{QueryOptions: o})
			for _, n := range rep.Namespaces {
				keys = append(keys, string(n.Name))
			}
			return keys, rep.NextToken
		},
		"Catalog.Nodes": func(o structs.QueryOptions) (keys []string, next string) {
			rep := mustAsk[structs.NodeListReply](t, b, "Catalog.Nodes", &structs.NodeListRequest{QueryOptions: o})
			for _, n := range rep.Nodes {
				keys = append(keys, n.Name)
			}
			return keys, rep.NextToken
		},
	}
	for name, list := range lists {
		all := slices.Concat(walk(t, list, 0)...)
		if len(all) < 5 || !slices.IsSorted(all) {
			t.Errorf("%s: %v", name, all)
		}
		for perPage := 1; perPage <= 7; perPage++ {
			if got := slices.Concat(walk(t, list, perPage)...); !slices.Equal(got, all) {
				t.Errorf("%s, per_page %d: %v, want %v", name, perPage, got, all)
			}
		}
	}
}

func TestTokenOfAnotherPrefixIsRefused(t *testing.T) {
	if _, err := decodeToken(encodeToken("a/b"), "a/"); err != nil {
		t.Error(err)
	}
	_, err := decodeToken(encodeToken("a/b"), "c/")
	wantKind(t, err, structs.KindInvalid)
}

func FuzzNextToken(f *testing.F) {
	for _, s := range []string{"", "garbage", "%", encodeToken("a"), encodeToken("dir/" + strings.Repeat("ü", 4096)), encodeToken("a") + "A", strings.Repeat("A", 1<<20)} {
		f.Add(s, "")
	}
	f.Add(encodeToken("dir/a"), "dir/")
	f.Fuzz(func(t *testing.T, token, prefix string) {
		key, err := decodeToken(token, prefix)
		if err != nil {
			wantKind(t, err, structs.KindInvalid)
			return
		}
		if token == "" {
			return
		}
		if key == "" || len(key) > structs.KeyBytesMax || !strings.HasPrefix(key, prefix) {
			t.Fatalf("token %q gave key %q for prefix %q", token, key, prefix)
		}
		if got := encodeToken(key); got != token {
			t.Fatalf("token %q is another form of %q", token, got)
		}
	})
}
