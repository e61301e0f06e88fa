package structs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// SQLKind is one of SQLite's five storage classes. Append only: the number is in the log.
type SQLKind uint8

const (
	SQLNull SQLKind = iota
	SQLInteger
	SQLReal
	SQLText
	SQLBlob
)

// String is the storage class as SQLite's typeof() names it.
func (k SQLKind) String() string {
	switch k {
	case SQLInteger:
		return "integer"
	case SQLReal:
		return "real"
	case SQLText:
		return "text"
	case SQLBlob:
		return "blob"
	}
	return "null"
}

// SQLValue is one value of a database. The zero value is NULL.
type SQLValue struct {
	kind SQLKind
	num  uint64 // an integer's two's complement, a real's IEEE 754 bits
	str  string // a text's or a blob's bytes
}

// IntegerValue is i as SQL.
func IntegerValue(i int64) SQLValue { return SQLValue{kind: SQLInteger, num: uint64(i)} }

// RealValue is f as SQL; SQLite knows no NaN and stores NULL in its place.
func RealValue(f float64) SQLValue {
	if math.IsNaN(f) {
		return SQLValue{}
	}
	return SQLValue{kind: SQLReal, num: math.Float64bits(f)}
}

// TextValue is s as SQL, byte for byte: it need not be UTF-8.
func TextValue(s string) SQLValue { return SQLValue{kind: SQLText, str: s} }

// BlobValue is a copy of b as SQL; nil is the empty blob.
func BlobValue(b []byte) SQLValue { return SQLValue{kind: SQLBlob, str: string(b)} }

// Kind is the value's storage class.
func (v SQLValue) Kind() SQLKind { return v.kind }

// Integer is an integer's value; 0 for any other kind.
func (v SQLValue) Integer() int64 {
	if v.kind != SQLInteger {
		return 0
	}
	return int64(v.num)
}

// Real is a real's value; 0 for any other kind.
func (v SQLValue) Real() float64 {
	if v.kind != SQLReal {
		return 0
	}
	return math.Float64frombits(v.num)
}

// Bytes are a text's or a blob's bytes as a string; "" for any other kind.
func (v SQLValue) Bytes() string { return v.str }

// SQLRow is a list of values in a form that is compact in the log, on the wire and in memory, and that
// is read without an allocation per value: for each value its kind, one byte, and
//
//	NULL     nothing
//	INTEGER  zigzag varint
//	REAL     8 bytes, IEEE 754, big endian
//	TEXT     uvarint length, bytes
//	BLOB     uvarint length, bytes
type SQLRow []byte

// ErrSQLRow is in the chain of every error of SQLRow.Values.
var ErrSQLRow = errors.New("undecodable row")

// NewSQLRow encodes values.
func NewSQLRow(values ...SQLValue) SQLRow {
	if len(values) == 0 {
		return nil
	}
	var r SQLRow
	for _, v := range values {
		r = r.Append(v)
	}
	return r
}

// Append encodes v behind the row's values and returns the longer row, as append does.
func (r SQLRow) Append(v SQLValue) SQLRow {
	switch v.kind {
	case SQLInteger:
		return r.AppendInteger(int64(v.num))
	case SQLReal:
		return r.AppendReal(math.Float64frombits(v.num))
	case SQLText, SQLBlob:
		return append(binary.AppendUvarint(append(r, byte(v.kind)), uint64(len(v.str))), v.str...)
	}
	return r.AppendNull()
}

// AppendNull is Append of NULL.
func (r SQLRow) AppendNull() SQLRow { return append(r, byte(SQLNull)) }

// AppendInteger is Append of IntegerValue(i).
func (r SQLRow) AppendInteger(i int64) SQLRow {
	return binary.AppendVarint(append(r, byte(SQLInteger)), i)
}

// AppendReal is Append of RealValue(f).
func (r SQLRow) AppendReal(f float64) SQLRow {
	if math.IsNaN(f) {
		return r.AppendNull()
	}
	return binary.BigEndian.AppendUint64(append(r, byte(SQLReal)), math.Float64bits(f))
}

// AppendText is Append of TextValue(string(b)).
func (r SQLRow) AppendText(b []byte) SQLRow {
	return append(binary.AppendUvarint(append(r, byte(SQLText)), uint64(len(b))), b...)
}

// AppendBlob is Append of BlobValue(b).
func (r SQLRow) AppendBlob(b []byte) SQLRow {
	return append(binary.AppendUvarint(append(r, byte(SQLBlob)), uint64(len(b))), b...)
}

// Next decodes the first value of r and returns it with what follows it. An empty or damaged row is an error.
func (r SQLRow) Next() (v SQLValue, rest SQLRow, err error) {
	raw, rest, err := r.NextRaw()
	if err != nil {
		return SQLValue{}, nil, err
	}
	return SQLValue{kind: raw.Kind, num: raw.num, str: string(raw.Bytes)}, rest, nil
}

// SQLRawValue is a value within its row.
type SQLRawValue struct {
	Kind  SQLKind
	Bytes []byte // a text's or a blob's: a part of the row, not a copy
	num   uint64
}

// Integer is an integer's value.
func (v SQLRawValue) Integer() int64 { return int64(v.num) }

// Real is a real's value.
func (v SQLRawValue) Real() float64 { return math.Float64frombits(v.num) }

// NextRaw is Next without a copy of the value's bytes, for those who pass rows on.
func (r SQLRow) NextRaw() (v SQLRawValue, rest SQLRow, err error) {
	if len(r) == 0 {
		return v, nil, fmt.Errorf("%w: it ended early", ErrSQLRow)
	}
	v.Kind, rest = SQLKind(r[0]), r[1:]
	switch v.Kind {
	case SQLNull:
		return v, rest, nil
	case SQLInteger:
		i, n := binary.Varint(rest)
		if n <= 0 {
			return v, nil, fmt.Errorf("%w: bad integer", ErrSQLRow)
		}
		v.num = uint64(i)
		return v, rest[n:], nil
	case SQLReal:
		if len(rest) < 8 {
			return v, nil, fmt.Errorf("%w: real cut short", ErrSQLRow)
		}
		v.num = binary.BigEndian.Uint64(rest)
		if math.IsNaN(math.Float64frombits(v.num)) {
			return v, nil, fmt.Errorf("%w: NaN", ErrSQLRow)
		}
		return v, rest[8:], nil
	case SQLText, SQLBlob:
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return v, nil, fmt.Errorf("%w: bad length of a %s", ErrSQLRow, v.Kind)
		}
		v.Bytes = rest[n : n+int(size)]
		return v, rest[n+int(size):], nil
	}
	return v, nil, fmt.Errorf("%w: unknown kind %d", ErrSQLRow, v.Kind)
}

// Values decodes the whole row; nil for an empty one.
func (r SQLRow) Values() ([]SQLValue, error) {
	var out []SQLValue
	for len(r) > 0 {
		v, rest, err := r.Next()
		if err != nil {
			return nil, err
		}
		out, r = append(out, v), rest
	}
	return out, nil
}
