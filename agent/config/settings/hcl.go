package settings

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
)

// decoder turns one file into settings and problems. It goes on after a problem, so that all of a
// file's are reported at once.
type decoder struct {
	schema   *Schema
	file     string
	settings []setting
	problems []Problem
	refused  []string // keys that have a problem, or that a misspelt key was likely meant to be
	broken   bool     // not all of the file could be read: any key may be missing
}

// decode reads HCL, or JSON if json is set. It never panics and needs time and memory bounded by
// fileBytesMax.
func (s *Schema) decode(name string, src []byte, json bool) *decoder {
	d := &decoder{schema: s, file: name}
	if ps := guard(name, src, json, s.depth); len(ps) > 0 {
		d.problems, d.broken = ps, true
		return d
	}
	var f *hcl.File
	var diags hcl.Diagnostics
	if json {
		f, diags = hcljson.Parse(src, name)
	} else {
		f, diags = hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	}
	d.broken = diags.HasErrors()
	if len(diags) > 1 { // a JSON file that cannot be read at all has this one on top
		diags = slices.DeleteFunc(diags, func(g *hcl.Diagnostic) bool { return g.Summary == "Root value must be object" })
	}
	d.add("", diags)
	if f != nil && f.Body != nil {
		d.body("", f.Body)
	}
	return d
}

func (d *decoder) source(r hcl.Range) Source {
	return Source{Kind: FromFile, Name: d.file, Line: r.Start.Line, Column: r.Start.Column}
}

// add takes over HCL's own errors, about key if it is known.
func (d *decoder) add(key string, diags hcl.Diagnostics) {
	for _, diag := range diags {
		if diag.Severity != hcl.DiagError {
			continue
		}
		p := Problem{Key: key, Message: strings.ToLower(diag.Summary[:min(1, len(diag.Summary))]) + diag.Summary[min(1, len(diag.Summary)):], Hint: diag.Detail}
		p.Source = Source{Kind: FromFile, Name: d.file}
		if diag.Summary == "Variables not allowed" {
			p.Hint = "put text into double quotes"
		}
		if diag.Subject != nil {
			p.Source = d.source(*diag.Subject)
		}
		d.problems = append(d.problems, p)
		if key != "" {
			d.refused = append(d.refused, key)
		}
	}
}

func (d *decoder) refuse(key string, r hcl.Range, hint, format string, args ...any) {
	d.problems = append(d.problems, Problem{Source: d.source(r), Key: key, Message: fmt.Sprintf(format, args...), Hint: hint})
	if d.schema.byKey[key] != nil {
		d.refused = append(d.refused, key)
	}
}

// entry is "name = expr" or "name { body }".
type entry struct {
	name string
	at   hcl.Range
	expr hcl.Expression // nil for a block
	body hcl.Body
}

// entries lists a body in the order of its text.
func (d *decoder) entries(key string, body hcl.Body) []entry {
	var es []entry
	if b, ok := body.(*hclsyntax.Body); ok {
		for _, a := range b.Attributes {
			es = append(es, entry{name: a.Name, at: a.NameRange, expr: a.Expr})
		}
		for _, bl := range b.Blocks {
			if len(bl.Labels) > 0 {
				d.refuse(join(key, bl.Type), bl.LabelRanges[0], "write "+bl.Type+" { … }", "a block has no label")
			}
			es = append(es, entry{name: bl.Type, at: bl.TypeRange, body: bl.Body})
		}
	} else {
		attrs, diags := body.JustAttributes()
		d.add(key, diags)
		for _, a := range attrs {
			es = append(es, entry{name: a.Name, at: a.NameRange, expr: a.Expr})
		}
	}
	slices.SortFunc(es, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.at.Start.Byte, b.at.Start.Byte), cmp.Compare(a.name, b.name))
	})
	return es
}

func (d *decoder) body(prefix string, body hcl.Body) {
	for _, e := range d.entries(prefix, body) {
		d.entry(prefix, e)
	}
}

func (d *decoder) entry(prefix string, e entry) {
	key := join(prefix, e.name)
	if d.schema.blocks[key] {
		if e.expr == nil {
			d.body(key, e.body)
			return
		}
		if es, ok := d.pairs(key, e.expr); ok { // ports = { http = 80 }, and all of JSON
			for _, e := range es {
				d.entry(key, e)
			}
			return
		}
		if !isNull(e.expr) {
			d.refuse(key, e.at, "write "+e.name+" { … }", "must be a block")
		}
		return
	}
	f := d.schema.byKey[key]
	if f == nil {
		hint, meant := d.schema.suggest(prefix, e.name)
		if meant != "" {
			d.refused = append(d.refused, meant)
		}
		d.problems = append(d.problems, Problem{Source: d.source(e.at), Message: "unknown key " + Quote(key), Hint: hint})
		return
	}
	d.field(f, e)
}

func (d *decoder) field(f *field, e entry) {
	var v any
	var ok bool
	switch {
	case f.kind == kindMap:
		v, ok = d.stringMap(f, e)
	case e.expr == nil:
		d.refuse(f.key, e.at, fmt.Sprintf("write %s = …", f.name), "must be a %s, not a block", f.kind)
	case f.kind == kindList:
		v, ok = d.stringList(f, e)
	default:
		v, ok = d.scalar(f, e.expr)
	}
	if ok {
		d.settings = append(d.settings, setting{f: f, value: v, source: d.source(e.at)})
	}
}

// pairs lists a static map; ok is false when expr is something else.
func (d *decoder) pairs(key string, expr hcl.Expression) ([]entry, bool) {
	kvs, diags := hcl.ExprMap(expr)
	if diags.HasErrors() {
		return nil, false
	}
	es := make([]entry, 0, len(kvs))
	seen := map[string]bool{}
	for _, kv := range kvs {
		name, ok := d.mapKey(key, kv.Key)
		if !ok {
			continue
		}
		if seen[name] {
			d.refuse(key, kv.Key.Range(), "remove one of them", "%s is set twice", Quote(name))
			continue
		}
		seen[name] = true
		es = append(es, entry{name: name, at: kv.Key.Range(), expr: kv.Value})
	}
	return es, true
}

func (d *decoder) mapKey(key string, expr hcl.Expression) (string, bool) {
	v, diags := expr.Value(nil)
	d.add(key, diags)
	if diags.HasErrors() {
		return "", false
	}
	return d.text(key, v, expr.Range(), "a key")
}
