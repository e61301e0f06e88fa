package sqldriver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/debros/debros/api"
	"github.com/debros/debros/api/sqldriver"
)

// connect stands for api.New(api.DefaultConfig()): each example has a namespace of its own at a real agent.
func connect() (*api.Client, error) {
	return api.New(api.Config{Address: shared.Node().API.Address(), Namespace: shared.Namespace()})
}

func ExampleOpenDB() {
	client, err := connect()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	db := sqldriver.OpenDB(client, sqldriver.Options{})
	defer db.Close()

	ctx := context.Background()
	if _, err := db.ExecContext(ctx, "CREATE TABLE crew (id INTEGER PRIMARY KEY, name TEXT)"); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO crew (name) VALUES (?), (?)", "Ann", "Bob"); err != nil {
		fmt.Println(err)
		return
	}
	rows, err := db.QueryContext(ctx, "SELECT id, name FROM crew WHERE name < :before", sql.Named("before", "C"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(id, name)
	}
	fmt.Println(rows.Err())
	// Output:
	// 1 Ann
	// 2 Bob
	// <nil>
}

func ExampleRetry() {
	client, err := connect()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	db := sqldriver.OpenDB(client, sqldriver.Options{})
	defer db.Close()

	ctx := context.Background()
	if _, err := db.ExecContext(ctx, "CREATE TABLE account (name PRIMARY KEY, cents); INSERT INTO account VALUES ('ann', 100), ('bob', 0)"); err != nil {
		fmt.Println(err)
		return
	}
	errPoor := errors.New("not enough money")
	move := func(cents int) error {
		return sqldriver.Retry(ctx, db, nil, func(tx *sql.Tx) error {
			var have int
			if err := tx.QueryRowContext(ctx, "SELECT cents FROM account WHERE name = 'ann'").Scan(&have); err != nil {
				return err
			}
			if have < cents {
				return errPoor
			}
			// If somebody changes what Ann has before this is committed, it is all done again.
			if _, err := tx.ExecContext(ctx, "UPDATE account SET cents = ? WHERE name = 'ann'", have-cents); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, "UPDATE account SET cents = cents + ? WHERE name = 'bob'", cents)
			return err
		})
	}
	fmt.Println(move(70))
	fmt.Println(move(70))
	var cents int
	err = db.QueryRowContext(ctx, "SELECT cents FROM account WHERE name = 'bob'").Scan(&cents)
	fmt.Println(cents, err)
	// Output:
	// <nil>
	// not enough money
	// 70 <nil>
}

func ExampleRegister() {
	sqldriver.Register() // in main, once
	address := shared.Node().API.Address()
	db, err := sql.Open(sqldriver.Name, address+"?ns=default&db=default&consistency=stale&freshness=5s")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	fmt.Println(db.PingContext(context.Background()))
	// Output: <nil>
}
