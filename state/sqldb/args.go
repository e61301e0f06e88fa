package sqldb

import (
	"strings"

	"github.com/debros/debros/structs"
)

// bind binds the arguments of st that follow the first skip positional ones and returns how many positional
// ones the statement took. Surplus arguments are ignored.
func (p *prepared) bind(st *structs.SQLStatement, skip int) (used int, refusal *structs.Error, err error) {
	if len(p.params) == 0 {
		return 0, nil, nil
	}
	args, derr := st.Args.Values()
	if derr != nil {
		return 0, structs.Errorf(structs.KindInvalid, "undecodable arguments"), nil
	}
	positional := args
	if len(st.Names) > 0 {
		positional = nil
		for i, name := range st.Names {
			if name == "" && i < len(args) {
				positional = append(positional, args[i])
			}
		}
	}
	positional = positional[min(skip, len(positional)):]
	room := 0
	for _, v := range args {
		room += len(v.Bytes())
	}
	if len(st.Names) > 0 {
		room *= 3 // one name may stand for three parameters: :a, @a and $a
	}
	// For empty ones, too: without any room their address would be nil, which SQLite takes for NULL.
	if err := p.BindRoom(room); err != nil {
		return 0, nil, err
	}
	for i, name := range p.params {
		v, found := structs.SQLValue{}, false
		if name != "" && name[0] != '?' {
			v, found = named(name[1:], st.Names, args)
		}
		if !found && i < len(positional) {
			v, found = positional[i], true
			used = i + 1
		}
		if !found {
			if name != "" && name[0] != '?' && len(st.Names) > 0 {
				return 0, structs.Errorf(structs.KindInvalid, "no argument for the parameter %s", name), nil
			}
			return 0, structs.Errorf(structs.KindInvalid, "not enough args to execute query: want %d got %d", len(p.params), len(positional)), nil
		}
		if err := p.bindValue(i+1, v); err != nil {
			if refusal := refusalOf(err); refusal != nil {
				return 0, refusal, nil
			}
			return 0, nil, err
		}
	}
	return used, nil, nil
}

func named(param string, names []string, args []structs.SQLValue) (structs.SQLValue, bool) {
	for i, n := range names {
		if n != "" && strings.TrimLeft(n, ":@$") == param && i < len(args) {
			return args[i], true
		}
	}
	return structs.SQLValue{}, false
}

func (p *prepared) bindValue(i int, v structs.SQLValue) error {
	switch v.Kind() {
	case structs.SQLInteger:
		return p.BindInt64(i, v.Integer())
	case structs.SQLReal:
		return p.BindFloat(i, v.Real())
	case structs.SQLText:
		return p.BindText(i, v.Bytes())
	case structs.SQLBlob:
		return p.BindBlob(i, v.Bytes())
	}
	return p.BindNull(i)
}
