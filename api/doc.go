// Package api is the Go client of debros: it speaks the HTTP API of an agent, over TCP, a unix
// socket, or any net.Conn that Config.Dialer returns. It needs the standard library only and has
// types of its own, so a program that uses it depends on nothing else of debros.
//
//	client, err := api.New(api.DefaultConfig())
//	pair, _, err := client.KV().Get(ctx, "config/colour", nil)
//
// Contract. Every call takes a context first and ends when it ends. Reads see every write that was
// acknowledged before they began, unless QueryOptions.Consistency says otherwise. A *Client and its
// groups are safe for concurrent use; a *Lock and a *Semaphore serve one holder each.
//
// Retries. A call is repeated, with growing and jittered pauses, only when that cannot do a thing
// twice: a refused connection, 429 (after its Retry-After) and 503, which an agent answers when it
// has done nothing, for every call; a broken connection, 502 and 504 for reads, for session renewal,
// and for SQL.Execute and Txn, whose request ids make the servers do them once. Any other write that was sent
// and got no answer is never repeated, not even a compare-and-set: the repetition would be harmless,
// but its "false" could mean "the first one did it". The caller gets ErrUnknownResult and can read
// what is there.
package api
