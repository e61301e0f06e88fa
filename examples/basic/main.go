// Command basic is an application inside a debros network: it reaches an agent through libp2p, holds no cluster key, and uses its
// database, its storage and the network's state.
//
//	debros agent -dev -overlay-port=4001        in another terminal
//	debros peer-id                              shows the address
//	go run ./examples/basic -bootstrap=/ip4/127.0.0.1/tcp/4001/p2p/12D3…
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/debros/debros/client"
)

func main() {
	bootstrap := flag.String("bootstrap", "", "`addresses` of agents, separated by commas: /ip4/…/tcp/4001/p2p/<id>")
	app := flag.String("app", "basic-example", "`name` of the application")
	flag.Parse()
	if err := run(*app, *bootstrap, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "basic:", err)
		os.Exit(1)
	}
}

func run(app, bootstrap string, out io.Writer) (err error) {
	config := client.DefaultClientConfig(app)
	if bootstrap != "" {
		config.BootstrapPeers = strings.Split(bootstrap, ",")
	}
	c, err := client.NewClient(config)
	if err != nil {
		return err
	}
	if err := c.Connect(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Disconnect()) }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, step := range []func(context.Context, client.NetworkClient, io.Writer) error{useDatabase, useStorage, usePubSub, showNetwork} {
		if err := step(ctx, c, out); err != nil {
			return err
		}
	}
	return nil
}

func useDatabase(ctx context.Context, c client.NetworkClient, out io.Writer) error {
	db := c.Database()
	if err := db.CreateTable(ctx, "CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, content TEXT NOT NULL)"); err != nil {
		return err
	}
	if _, err := db.Query(ctx, "INSERT INTO messages (content) VALUES (?)", "Hello from an application"); err != nil {
		return err
	}
	if err := db.Transaction(ctx, []string{
		"INSERT INTO messages (content) VALUES ('one of two')",
		"INSERT INTO messages (content) VALUES ('two of two, or none')",
	}); err != nil {
		return err
	}
	result, err := db.Query(ctx, "SELECT id, content FROM messages ORDER BY id DESC LIMIT 3")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "database: %d rows of %s\n", result.Count, strings.Join(result.Columns, ", "))
	for _, row := range result.Rows {
		fmt.Fprintf(out, "  %v: %v\n", row[0], row[1])
	}
	return nil
}

func useStorage(ctx context.Context, c client.NetworkClient, out io.Writer) error {
	kv := c.Storage()
	if err := kv.Put(ctx, "settings/colour", []byte("blue")); err != nil {
		return err
	}
	value, err := kv.Get(ctx, "settings/colour")
	if err != nil {
		return err
	}
	keys, err := kv.List(ctx, "settings/", 10)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "storage: settings/colour = %s; keys %v\n", value, keys)
	return nil
}

func usePubSub(ctx context.Context, c client.NetworkClient, out io.Writer) error {
	got := make(chan string, 1)
	if err := c.PubSub().Subscribe(ctx, "greetings.*", func(topic string, data []byte) error {
		got <- fmt.Sprintf("%s: %s", topic, data)
		return nil
	}); err != nil {
		return err
	}
	if err := c.PubSub().Publish(ctx, "greetings.world", []byte("hello")); err != nil {
		return err
	}
	select {
	case text := <-got:
		fmt.Fprintln(out, "pubsub:", text)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func showNetwork(ctx context.Context, c client.NetworkClient, out io.Writer) error {
	peers, err := c.Network().GetPeers(ctx)
	if err != nil {
		return err
	}
	status, err := c.Network().GetStatus(ctx)
	if err != nil {
		return err
	}
	health, err := c.Health()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "network: by %s, which knows %d peers; database of %d bytes\n", status.NodeID, len(peers), status.DatabaseSize)
	fmt.Fprintf(out, "health: %s in %s\n", health.Status, health.ResponseTime.Round(time.Millisecond))
	return nil
}
