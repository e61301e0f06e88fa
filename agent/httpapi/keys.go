package httpapi

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/debros/debros/structs"
)

// How a path becomes a key. The path is percent-decoded once, so %2F is a slash and %252F is the
// three characters %2F. The decoded path must be valid UTF-8 of printable characters (the space is
// the only blank), else 400. A path with an empty segment, or one that is "." or "..", however it was
// escaped, is answered with 307 to the cleaned path, as Consul does; a final slash stays.
//
// Two such paths are refused instead, because a client that follows the redirect would do
// something the writer of the key never asked for: one whose ".." leads into another group of
// routes (PUT /v1/kv/../agent/leave), and a write that cleaning would aim at the whole store
// (DELETE /v1/kv/a/..?recurse).

const kvPrefix = "/v1/kv/"

// checkPath refuses paths that name nothing, and returns where to redirect to ("" = nowhere).
func checkPath(method string, u *url.URL) (redirect string, err *structs.Error) {
	p := u.Path
	if !printable(p) {
		return "", structs.Errorf(structs.KindInvalid, "the path contains characters that are not printable UTF-8")
	}
	clean := cleanPath(p)
	if clean == p {
		return "", nil
	}
	if strings.Contains(p, "..") && group(p) != group(clean) {
		return "", structs.Errorf(structs.KindInvalid, `the path leaves %s by ".."`, group(p))
	}
	if clean+"/" == kvPrefix || clean == kvPrefix {
		clean = kvPrefix
		if method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions {
			return "", structs.Errorf(structs.KindInvalid, "the key is empty once its dots and slashes are resolved")
		}
	}
	return (&url.URL{Path: clean, RawQuery: u.RawQuery}).String(), nil
}

// cleanPath resolves empty, "." and ".." segments and keeps a final slash.
func cleanPath(p string) string {
	if p == "" {
		return "/"
	}
	if p[0] != '/' {
		p = "/" + p
	}
	clean := path.Clean(p)
	if p[len(p)-1] == '/' && clean != "/" {
		clean += "/"
	}
	return clean
}

// group is the first two segments of a path, empty ones and dots not counted: "/v1/kv".
func group(p string) string {
	var out string
	n := 0
	for seg := range strings.SplitSeq(p, "/") {
		if seg == "" || seg == "." {
			continue
		}
		out += "/" + seg
		if n++; n == 2 {
			break
		}
	}
	return out
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, c := range s {
		if !unicode.IsPrint(c) {
			return false
		}
	}
	return true
}

// checkKey bounds a key; "" is for the caller to judge.
func checkKey(key string) error {
	if len(key) > structs.KeyBytesMax {
		return &statusError{http.StatusRequestURITooLong, structs.Errorf(structs.KindInvalid,
			"the key is %d bytes long, the limit is %d", len(key), structs.KeyBytesMax)}
	}
	return nil
}
