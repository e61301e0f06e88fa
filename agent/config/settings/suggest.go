package settings

import "strings"

// suggestLengthMax keeps the edit distance cheap: no key is half as long.
const suggestLengthMax = 64

// suggest says what an unknown key was likely meant to be, as a hint and, if it is a key, as that.
func (s *Schema) suggest(prefix, name string) (hint, meant string) {
	full := join(prefix, name)
	if to := s.renamed[full]; to != "" {
		return "here it is " + to, to
	}
	if len(full) > suggestLengthMax {
		return "", ""
	}
	name = strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	limit := 4
	if len(name) < 6 {
		limit = 3 // three edits make any short word of any other
	}
	for _, k := range s.all() {
		if p, last := cutLast(k); p == prefix {
			if n := distance(name, last, limit); n < limit {
				meant, limit = k, n
			}
		}
	}
	if meant == "" {
		flat := strings.ReplaceAll(join(prefix, name), ".", "_")
		for _, k := range s.all() { // a key of another block, or written without its block
			if _, last := cutLast(k); last == name || strings.ReplaceAll(k, ".", "_") == flat {
				meant = k
				break
			}
		}
	}
	if meant == "" {
		return "", ""
	}
	return "did you mean " + meant + "?", meant
}

// distance is the Levenshtein distance in bytes, or limit when it is not below that.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return min(row[len(b)], limit)
}
