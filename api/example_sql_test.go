package api_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/debros/debros/api"
)

func ExampleClient_SQL() {
	client, stop := connect()
	defer stop()
	ctx, db := context.Background(), client.SQL()

	if _, err := db.Exec(ctx, "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, since TEXT)"); err != nil {
		fmt.Println(err)
		return
	}
	res, err := db.Exec(ctx, "INSERT INTO users (name, since) VALUES (?, ?)", "Ann", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.RowsAffected, res.LastInsertID)

	var name string
	var since time.Time
	err = db.QueryRow(ctx, api.Stmt("SELECT name, since FROM users WHERE id = ?", res.LastInsertID), nil, &name, &since)
	fmt.Println(name, since.Year(), err)
	err = db.QueryRow(ctx, api.Stmt("SELECT name FROM users WHERE id = 7"), nil, &name)
	fmt.Println(errors.Is(err, api.ErrNoRow))
	// Output:
	// 1 1
	// Ann 2026 <nil>
	// true
}

func ExampleSQL_Query() {
	client, stop := connect()
	defer stop()
	ctx, db := context.Background(), client.SQL()
	q := api.Stmt("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :last) SELECT i, i * 0.5 AS half FROM n",
		api.Named("last", 1_000_000))
	rows, err := db.Query(ctx, q, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(rows.Columns())
	for row, err := range rows.All() { // as they come: memory does not grow
		if err != nil {
			fmt.Println(err)
			return
		}
		var i int
		var half float64
		if err := row.Scan(&i, &half); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(i, half)
		if i == 3 {
			break // gives up the rest, at the server too
		}
	}
	_, err = db.Query(ctx, api.Stmt("CREATE TABLE t (a)"), nil)
	fmt.Println(err, errors.Is(err, api.ErrQueryWrites))
	// Output:
	// [i half]
	// 1 0.5
	// 2 1
	// 3 1.5
	// a query cannot write true
}

func ExampleSQL_Changes() {
	client, stop := connect()
	defer stop()
	ctx, db := context.Background(), client.SQL()
	if _, _, err := db.SetChanges(ctx, "default", 64<<20, nil); err != nil { // from here on changes are kept
		fmt.Println(err)
		return
	}
	for _, sql := range []string{
		"CREATE TABLE todo (id INTEGER PRIMARY KEY, what TEXT)", "INSERT INTO todo (what) VALUES ('sleep')", "UPDATE todo SET what = 'wake up'", "DELETE FROM todo",
	} {
		if _, err := db.Exec(ctx, sql); err != nil {
			fmt.Println(err)
			return
		}
	}
	feed := db.Changes(api.SQLFeedOptions{}) // with Follow it would wait for more
	for change, err := range feed.All(ctx) {
		if err != nil {
			fmt.Println(err) // with Follow the loop would go on: the feed tries again, and misses nothing
			return
		}
		switch change.Op {
		case api.SQLInsert:
			fmt.Println("new:", change.RowID, change.New.Values())
		case api.SQLUpdate:
			fmt.Println("changed:", change.Old.Values(), "to", change.New.Values())
		case api.SQLDelete:
			fmt.Println("gone:", change.RowID)
		case api.SQLSchema:
			fmt.Println(change.SQL)
		}
	}
	later := db.Changes(api.SQLFeedOptions{From: feed.Position()}) // whatever comes
	for range later.All(ctx) {
		fmt.Println("there is nothing more")
	}
	// Output:
	// CREATE TABLE todo (id INTEGER PRIMARY KEY, what TEXT)
	// new: 1 [1 sleep]
	// changed: [1 sleep] to [1 wake up]
	// gone: 1
}

func ExampleSQL_Execute() {
	client, stop := connect()
	defer stop()
	ctx, db := context.Background(), client.SQL()
	_, err := db.Exec(ctx, "CREATE TABLE account (name TEXT PRIMARY KEY, cents INTEGER CHECK (cents >= 0))")
	if err != nil {
		fmt.Println(err)
		return
	}
	move := func(cents int) error {
		_, err := db.Execute(ctx, &api.SQLRequest{Transaction: true, Statements: []api.SQLStatement{
			api.Stmt("INSERT INTO account VALUES ('ann', 100), ('bob', 0) ON CONFLICT DO NOTHING"),
			api.Stmt("UPDATE account SET cents = cents + ? WHERE name = 'bob'", cents),
			api.Stmt("UPDATE account SET cents = cents - ? WHERE name = 'ann'", cents),
		}}, nil)
		return err
	}
	fmt.Println(move(30))
	err = move(80) // more than there is: nothing is done
	var failed *api.SQLError
	fmt.Println(errors.As(err, &failed) && failed.Statement == 2, errors.Is(err, api.ErrConflict))
	var cents int
	err = db.QueryRow(ctx, api.Stmt("SELECT cents FROM account WHERE name = 'bob'"), nil, &cents)
	fmt.Println(cents, err)

	// Only if nobody changed what was read.
	reply, err := db.Execute(ctx, &api.SQLRequest{
		Guards:     []api.SQLGuard{{SQLStatement: api.Stmt("SELECT cents FROM account WHERE name = 'bob'"), First: []any{cents}}},
		Statements: []api.SQLStatement{api.Stmt("UPDATE account SET cents = ? WHERE name = 'bob' RETURNING cents", cents*2)},
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(reply.Results[0].Rows[0].Values()...)
	// Output:
	// <nil>
	// true true
	// 30 <nil>
	// 60
}

func ExampleSQL_Databases() {
	client, stop := connect()
	defer stop()
	ctx, sql := context.Background(), client.SQL()
	if _, _, err := sql.CreateDatabase(ctx, &api.SQLDatabase{Name: "shop", PageBytes: 1024}, nil); err != nil {
		fmt.Println(err)
		return
	}
	_, _, err := sql.CreateDatabase(ctx, &api.SQLDatabase{Name: "shop"}, nil)
	fmt.Println(errors.Is(err, api.ErrConflict))
	_, err = sql.Database("shop").Exec(ctx, "CREATE TABLE t (a)")
	fmt.Println(err)
	list, _, err := sql.Databases(ctx, nil)
	for _, d := range list {
		fmt.Println(d.Name, d.PageBytes, d.SizeBytes > 0, err)
	}
	_, err = sql.DeleteDatabase(ctx, "shop", nil)
	d, _, err2 := sql.ReadDatabase(ctx, "shop", nil)
	fmt.Println(err, d == nil, err2)
	// Output:
	// true
	// <nil>
	// shop 1024 true <nil>
	// <nil> true <nil>
}

func ExampleSQL_Op() {
	client, stop := connect()
	defer stop()
	ctx, db := context.Background(), client.SQL()
	if _, err := db.Exec(ctx, "CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL)"); err != nil {
		fmt.Println(err)
		return
	}
	// An order is stored, and its number is the key that others watch: both, or neither.
	order := func(id int, item any) {
		ok, reply, err := client.Txn(ctx, []api.TxnOp{
			{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "orders/last", Value: fmt.Append(nil, id)}},
			db.Op(api.Stmt("INSERT INTO orders VALUES (?, ?) RETURNING id, item", id, item)),
		}, nil)
		switch {
		case err != nil:
			fmt.Println(err)
		case !ok:
			fmt.Println(reply.Errors[0].OpIndex, reply.Errors[0].What)
		default:
			fmt.Println(reply.Results[1].SQL.Results[0].Rows[0].Values()...)
		}
	}
	order(1, "tea")
	order(2, nil)
	pair, _, err := client.KV().Get(ctx, "orders/last", nil)
	fmt.Println(string(pair.Value), err)

	// A key changes only while a row is as it was read.
	one := int64(1)
	ok, reply, err := client.Txn(ctx, []api.TxnOp{
		{SQL: &api.SQLTxnOp{Guards: []api.SQLGuard{{SQLStatement: api.Stmt("SELECT 1 FROM orders WHERE item = ?", "coffee"), Rows: &one}}}},
		{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "brew", Value: []byte("coffee")}},
	}, nil)
	fmt.Println(ok, reply.Errors[0].What, err)
	// Output:
	// 1 tea
	// 1 statement 1: NOT NULL constraint failed: orders.item
	// 1 <nil>
	// false guard 1 does not hold: it gives 0 rows, not 1 <nil>
}
