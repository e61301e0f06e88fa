package sqlite

import (
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// SQLite counts the steps of its virtual machine, and a call of a function is one step however many bytes it goes through. So all
// functions are replaced, once for the process and before the first connection is opened, by ones that charge the bytes of
// their arguments and of their result and then call the real one. Nothing else about them changes: what the
// planner knows of a function stays (its name, flags and user data), which create_function would lose.

// account is what the functions that the running statement calls are charged to. It is in SQLite's memory, as the argument of
// the progress handler: that is how a function finds the account of its connection.
type account struct {
	max   int64 // bytes that may be charged; <0 = nothing is
	bytes int64
}

// Charge begins to charge the functions of the statement that runs next: it ends as if interrupted when they handle more than max
// bytes. max < 0 charges nothing.
func (c *Conn) Charge(max int64) {
	a := (*account)(ptr(c.account))
	a.max, a.bytes = max, 0
}

// Charged is the bytes since Charge; over says whether they are more than it allowed.
func (c *Conn) Charged() (bytes int64, over bool) {
	a := (*account)(ptr(c.account))
	return a.bytes, a.max >= 0 && a.bytes > a.max
}

// Types of the functions of SQLite's FuncDef.
type (
	callFunc  = func(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr)
	valueFunc = func(tls *libc.TLS, ctx uintptr)
)

// at is the function at an address that fp could have given.
func at[T any](p uintptr) T { return *(*T)(unsafe.Pointer(&p)) }

// chargedCall is f, which charges for its arguments and its result, each byte weight times.
func chargedCall(f callFunc, weight int64) callFunc {
	return func(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr) {
		a := accountOf(ctx)
		if a == nil {
			f(tls, ctx, argc, argv)
			return
		}
		n := int64(0)
		for _, v := range unsafe.Slice((*uintptr)(ptr(argv)), argc) {
			n += valueBytes(v)
		}
		if n > 0 && a.charge(tls, ctx, n*weight) {
			return
		}
		f(tls, ctx, argc, argv)
		a.chargeResult(tls, ctx, weight)
	}
}

// chargedLike is chargedCall for LIKE and GLOB, which may look at each byte of the text once for each of the pattern.
func chargedLike(f callFunc, weight int64) callFunc {
	return func(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr) {
		if a := accountOf(ctx); a != nil && argc >= 2 {
			args := unsafe.Slice((*uintptr)(ptr(argv)), argc)
			n := valueBytes(args[1]) * max(valueBytes(args[0]), 1)
			if argc > 2 {
				n += valueBytes(args[2])
			}
			if n > 0 && a.charge(tls, ctx, n*weight) {
				return
			}
		}
		f(tls, ctx, argc, argv)
	}
}

// chargedValue is chargedCall for what an aggregate has come to so far, which a window asks for at each row.
func chargedValue(f valueFunc, weight int64) valueFunc {
	return func(tls *libc.TLS, ctx uintptr) {
		f(tls, ctx)
		if a := accountOf(ctx); a != nil {
			a.chargeResult(tls, ctx, weight)
		}
	}
}

// accountOf is the account of the statement that calls; nil where nothing is charged, as in statements that SQLite runs inside ours.
func accountOf(ctx uintptr) *account {
	out := (*lib.Tsqlite3_context)(ptr(ctx)).FpOut
	if out == 0 {
		return nil
	}
	db := (*lib.TMem)(ptr(out)).Fdb
	if db == 0 {
		return nil
	}
	conn := (*lib.Tsqlite3)(ptr(db))
	if conn.FpProgressArg == 0 || conn.FnVdbeExec != 1 {
		return nil
	}
	if a := (*account)(ptr(conn.FpProgressArg)); a.max >= 0 {
		return a
	}
	return nil
}

// charge reports whether that was too much; then the function has failed.
func (a *account) charge(tls *libc.TLS, ctx uintptr, n int64) (over bool) {
	a.bytes += n
	if a.bytes <= a.max {
		return false
	}
	lib.Xsqlite3_result_null(tls, ctx) // or SQLite would take the result for the message
	lib.Xsqlite3_result_error_code(tls, ctx, lib.SQLITE_INTERRUPT)
	return true
}

func (a *account) chargeResult(tls *libc.TLS, ctx uintptr, weight int64) {
	if n := valueBytes((*lib.Tsqlite3_context)(ptr(ctx)).FpOut); n > 0 {
		a.charge(tls, ctx, n*weight)
	}
}

// valueBytes is the length of a text or a blob, 0 for other values.
func valueBytes(v uintptr) int64 {
	m := (*lib.TMem)(ptr(v))
	if m.Fflags&(lib.MEM_Str|lib.MEM_Blob) == 0 {
		return 0
	}
	return int64(m.Fn)
}

// weightOf is how often a byte counts that a function of a name handles. Counted so, most take 1 to 3 ns, and none more than ten,
// as BenchmarkFunctions prints.
func weightOf(name string) int64 {
	switch {
	case strings.HasPrefix(name, "json"), name == "->", name == "->>", strings.HasSuffix(name, "trim"):
		return 16
	}
	return 2
}

// What is replaced: the definitions, and the functions, of which SQLite holds the addresses, which the collector does not see.
var (
	charged     = map[uintptr]bool{}
	chargedKeep []any
)

// chargeFunctions replaces the functions that SQLite brings.
var chargeFunctions = sync.OnceFunc(func() {
	c, err := open(":memory:", "", ReadWrite|Create)
	if err == nil {
		defer c.Close()
		err = c.chargeFunctions()
	}
	if err != nil {
		panic(fmt.Sprintf("sqlite: its functions cannot be listed: %v", err)) // out of memory, or another SQLite than this is written for
	}
})

func (c *Conn) chargeFunctions() error {
	all, err := c.overloads()
	for _, f := range all {
		for _, def := range c.definitions(f.name, f.args) {
			if !charged[def] {
				charged[def] = true
				replaceFunction((*lib.TFuncDef)(ptr(def)), f.name)
			}
		}
	}
	return err
}

// overload is a function as SQL names it; args < 0 is any number.
type overload struct {
	name string
	args int64
}

func (c *Conn) overloads() (all []overload, err error) {
	s, _, err := c.Prepare(`SELECT DISTINCT name, narg FROM pragma_function_list WHERE builtin ORDER BY name, narg`)
	if err != nil {
		return nil, err
	}
	defer s.Finalize()
	for {
		more, err := s.Step()
		if !more || err != nil {
			return all, err
		}
		all = append(all, overload{string(s.Bytes(0)), s.Int64(1)})
	}
}

// definitions are SQLite's own definitions of the functions that calling one of a name needs, as the program of a statement has them.
func (c *Conn) definitions(name string, args int64) (defs []uintptr) {
	if args < 0 {
		args = 2 // any number of them
	}
	call := `SELECT "` + name + `"(` + strings.TrimSuffix(strings.Repeat("?,", int(args)), ",") + ")"
	for _, sql := range []string{call, call + " OVER (ORDER BY 1 ROWS 1 PRECEDING)"} { // the one or the other does not compile for many
		if s, _, err := c.Prepare(sql); err == nil && s != nil {
			defs = append(defs, s.functions()...)
			s.Finalize()
		}
	}
	return defs
}

// functions are the definitions that the program of a statement calls.
func (s *Stmt) functions() (defs []uintptr) {
	v := (*lib.TVdbe)(ptr(s.stmt))
	for _, op := range unsafe.Slice((*lib.TVdbeOp)(ptr(v.FaOp)), v.FnOp) {
		p := *(*uintptr)(unsafe.Pointer(&op.Fp4))
		switch int32(op.Fp4type) {
		case lib.P4_FUNCDEF:
			defs = append(defs, p)
		case lib.P4_FUNCCTX:
			defs = append(defs, (*lib.Tsqlite3_context)(ptr(p)).FpFunc)
		}
	}
	return defs
}

func replaceFunction(def *lib.TFuncDef, name string) {
	weight := weightOf(name)
	if def.FxSFunc != 0 {
		f := chargedCall(at[callFunc](def.FxSFunc), weight)
		if name == "like" || name == "glob" {
			f = chargedLike(at[callFunc](def.FxSFunc), weight)
		}
		chargedKeep = append(chargedKeep, f)
		def.FxSFunc = fp(f)
	}
	if def.FxValue != 0 && def.FxInverse != 0 {
		f := chargedValue(at[valueFunc](def.FxValue), weight)
		chargedKeep = append(chargedKeep, f)
		def.FxValue = fp(f)
	}
}
