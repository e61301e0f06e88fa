package rqlite

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/debros/debros/agent/httpapi/sqljson"
	"github.com/debros/debros/structs"
)

// value encodes v as rqlite shows a value of a column with this declared type.
func (f Form) value(b []byte, v structs.SQLRawValue, declared string) []byte {
	switch v.Kind {
	case structs.SQLInteger:
		switch {
		case declared == "boolean":
			return strconv.AppendBool(b, v.Integer() > 0)
		case isTime(declared):
			return appendTime(b, fromNumber(v.Integer()))
		}
		return strconv.AppendInt(b, v.Integer(), 10)
	case structs.SQLReal:
		if math.IsInf(v.Real(), 0) {
			if v.Real() < 0 {
				return append(b, `"-Infinity"`...)
			}
			return append(b, `"Infinity"`...)
		}
		return sqljson.AppendFloat(b, v.Real())
	case structs.SQLText:
		if isTime(declared) {
			if t, ok := fromText(string(v.Bytes)); ok {
				return appendTime(b, t)
			}
		}
		return sqljson.AppendString(b, v.Bytes)
	case structs.SQLBlob:
		switch {
		case isText(declared):
			return sqljson.AppendString(b, v.Bytes)
		case f.BlobArray:
			b = append(b, '[')
			for i, c := range v.Bytes {
				if i > 0 {
					b = append(b, ',')
				}
				b = strconv.AppendUint(b, uint64(c), 10)
			}
			return append(b, ']')
		}
		return sqljson.AppendBase64(b, v.Bytes)
	}
	return append(b, "null"...)
}

func isTime(declared string) bool {
	return declared == "date" || declared == "datetime" || declared == "timestamp"
}

// isText tells the declared types whose blobs rqlite shows as strings.
func isText(declared string) bool {
	if declared == "text" || declared == "json" {
		return true
	}
	for _, prefix := range []string{"varchar", "varying character", "nchar", "native character", "nvarchar", "clob"} {
		if strings.HasPrefix(declared, prefix) {
			return true
		}
	}
	return false
}

// millisecondsFrom is the number from which one counts milliseconds and not seconds: as seconds it would be the year 33658.
const millisecondsFrom = 1_000_000_000_000

func fromNumber(n int64) time.Time {
	if n > millisecondsFrom || n < -millisecondsFrom {
		return time.UnixMilli(n).UTC()
	}
	return time.Unix(n, 0).UTC()
}

// fromText reads the forms of time that SQLite's own functions read and write.
func fromText(s string) (time.Time, bool) {
	s = strings.TrimSuffix(s, "Z")
	for _, form := range []string{
		"2006-01-02 15:04:05.999999999-07:00", "2006-01-02T15:04:05.999999999-07:00",
		"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999",
		"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02",
	} {
		if t, err := time.ParseInLocation(form, s, time.UTC); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// appendTime writes RFC 3339, which ends at the year 9999; a later time is written all the same.
func appendTime(b []byte, t time.Time) []byte {
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}
