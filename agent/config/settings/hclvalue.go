package settings

import (
	"math/big"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Values are taken as they are written: HCL's own conversions would read server = "true" and
// data_dir = 5 without a word.

// isNull reports whether expr is a null, which leaves a key as it is.
func isNull(expr hcl.Expression) bool {
	v, diags := expr.Value(nil)
	return !diags.HasErrors() && v.IsNull()
}

func (d *decoder) stringMap(f *field, e entry) (any, bool) {
	es, ok := []entry(nil), true
	if e.expr == nil {
		es = d.entries(f.key, e.body) // node_meta { a = "b" }
	} else if es, ok = d.pairs(f.key, e.expr); !ok {
		if !isNull(e.expr) {
			d.refuse(f.key, e.at, f.name+` = { name = "value" }`, "must be a map of strings")
		}
		return nil, false
	}
	m := make(map[string]string, len(es))
	for _, e := range es {
		if e.expr == nil {
			d.refuse(f.key, e.at, "", "the value of %s must be a string, not a block", Quote(e.name))
			continue
		}
		v, diags := e.expr.Value(nil)
		d.add(f.key, diags)
		if diags.HasErrors() {
			continue
		}
		if s, ok := d.text(f.key, v, e.expr.Range(), "the value of "+Quote(e.name)); ok {
			m[e.name] = s
		}
	}
	return m, true
}

func (d *decoder) stringList(f *field, e entry) (any, bool) {
	exprs, diags := hcl.ExprList(e.expr)
	if diags.HasErrors() {
		if !isNull(e.expr) {
			d.refuse(f.key, e.at, f.name+` = ["…", "…"]`, "must be a list of strings")
		}
		return nil, false
	}
	list := make([]string, 0, len(exprs))
	for _, x := range exprs {
		v, diags := x.Value(nil)
		d.add(f.key, diags)
		if diags.HasErrors() {
			continue
		}
		if s, ok := d.text(f.key, v, x.Range(), "an element"); ok {
			list = append(list, s)
		}
	}
	return list, true
}

// text is a string that is not null; what says whose it is.
func (d *decoder) text(key string, v cty.Value, at hcl.Range, what string) (string, bool) {
	if !v.IsKnown() {
		return "", false // the parser has reported what it could not read
	}
	if v.IsNull() || v.Type() != cty.String {
		d.refuse(key, at, "put it into double quotes", "%s must be a string, not %s", what, typeName(v))
		return "", false
	}
	return v.AsString(), true
}

func (d *decoder) scalar(f *field, expr hcl.Expression) (any, bool) {
	v, diags := expr.Value(nil)
	d.add(f.key, diags)
	if diags.HasErrors() || v.IsNull() || !v.IsKnown() {
		return nil, false // refused, nothing, or already reported by the parser
	}
	want, hint := cty.String, "put it into double quotes"
	switch f.kind {
	case kindBool:
		want, hint = cty.Bool, "write true or false, without quotes"
	case kindInt, kindUint, kindFloat:
		want, hint = cty.Number, "write it without quotes"
	case kindDuration:
		hint = `write it with its unit, such as "10s"`
	}
	if v.Type() != want {
		if t := v.Type(); !t.IsPrimitiveType() {
			hint = ""
		}
		d.refuse(f.key, expr.Range(), hint, "must be a %s, not %s", f.kind, typeName(v))
		return nil, false
	}
	switch want {
	case cty.Bool:
		return v.True(), true
	case cty.Number:
		return d.number(f, v.AsBigFloat(), expr.Range())
	}
	s, err := f.parse(v.AsString())
	if err != nil {
		d.refuse(f.key, expr.Range(), "", "%v", err)
		return nil, false
	}
	return s, true
}

func (d *decoder) number(f *field, n *big.Float, at hcl.Range) (any, bool) {
	if f.kind == kindFloat {
		v, _ := n.Float64()
		if n.IsInf() || v > 1e300 || v < -1e300 {
			d.refuse(f.key, at, "", "number out of range")
			return nil, false
		}
		return v, true
	}
	if !n.IsInf() && !n.IsInt() {
		d.refuse(f.key, at, "", "must be a whole number")
		return nil, false
	}
	// An infinite n is never exact.
	if f.kind == kindUint {
		if u, acc := n.Uint64(); acc == big.Exact && (f.bits == 64 || u>>f.bits == 0) {
			return u, true
		}
	} else if i, acc := n.Int64(); acc == big.Exact && (f.bits == 64 || i>>(f.bits-1) == 0 || i>>(f.bits-1) == -1) {
		return i, true
	}
	d.refuse(f.key, at, "", "number out of range")
	return nil, false
}

func typeName(v cty.Value) string {
	switch t := v.Type(); {
	case v.IsNull():
		return "null"
	case t == cty.String:
		return "a string"
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "a bool"
	case t.IsObjectType() || t.IsMapType():
		return "a map"
	}
	return "a list"
}
