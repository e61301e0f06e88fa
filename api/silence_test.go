package api_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/debros/debros/api"
)

// feedTransport answers with lines at once, then with a heartbeat each 10 s until quiet, then with nothing.
type feedTransport struct {
	lines string
	quiet time.Time
}

func (f feedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	out, in := io.Pipe()
	go func() {
		defer context.AfterFunc(r.Context(), func() { in.CloseWithError(r.Context().Err()) })()
		line := f.lines
		for {
			if _, err := io.WriteString(in, line); err != nil {
				return
			}
			if time.Now().After(f.quiet) {
				<-r.Context().Done()
				in.CloseWithError(r.Context().Err())
				return
			}
			time.Sleep(10 * time.Second)
			line = `{"control":"heartbeat","next":3,"at":"5.2"}` + "\n"
		}
	}()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: out, Request: r}, nil
}

// A caller that works on a message for longer than an agent may be silent loses nothing by it; an agent that is silent is given up.
func TestACallerThatTakesItsTimeIsNoSilenceOfTheAgent(t *testing.T) {
	message := `{"topic":"a","publisher":"p","epoch":1,"seq":1,"data":""}` + "\n"
	for name, feed := range map[string]struct {
		lines string
		all   func(*testing.T, *api.Client) iter.Seq2[bool, error]
	}{
		"topic": {`{"control":"begin"}` + "\n" + message + strings.Replace(message, `"seq":1`, `"seq":2`, 1), func(t *testing.T, c *api.Client) iter.Seq2[bool, error] {
			s, err := c.PubSub().Subscribe(t.Context(), api.SubscribeOptions{}, "a")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			return there(s.All())
		}},
		"stream": {`{"control":"begin","next":1}` + "\n" + message + strings.Replace(message, `"seq":1`, `"seq":2`, 1), func(t *testing.T, c *api.Client) iter.Seq2[bool, error] {
			return there(c.Streams().Messages("a", api.MessageFeedOptions{Follow: true}).All(t.Context()))
		}},
		"changes": {`{"control":"begin","at":"5.0"}` + "\n" + `{"id":"5.1","time":"2026-01-02T03:04:05Z","op":"insert","table":"t","rowid":1,"new":{"a":null}}` + "\n" +
			`{"id":"5.2","time":"2026-01-02T03:04:05Z","op":"insert","table":"t","rowid":2,"new":{"a":null}}` + "\n", func(t *testing.T, c *api.Client) iter.Seq2[bool, error] {
			return there(c.SQL().Changes(api.SQLFeedOptions{Follow: true}).All(t.Context()))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const work = 2 * time.Minute
				client, err := api.New(api.Config{
					Address: "http://agent:1", Retry: api.RetryPolicy{Max: -1},
					HTTPClient: &http.Client{Transport: feedTransport{feed.lines, time.Now().Add(2*work + time.Minute)}},
				})
				if err != nil {
					t.Fatal(err)
				}
				n, began := 0, time.Now()
				for ok, err := range feed.all(t, client) {
					switch {
					case ok:
						n++
						time.Sleep(work)
					case n != 2:
						t.Fatalf("after %d of 2: %v", n, err)
					case !errors.Is(err, api.ErrUnavailable) || !strings.Contains(err.Error(), "has said nothing"):
						t.Fatalf("an agent that is silent: %v", err)
					case time.Since(began) < 2*work+time.Minute:
						t.Fatalf("given up after %s", time.Since(began))
					default:
						return
					}
				}
				t.Fatal("the feed ended")
			})
		})
	}
}

// there says of each whether it is something.
func there[T any](all iter.Seq2[*T, error]) iter.Seq2[bool, error] {
	return func(yield func(bool, error) bool) {
		for v, err := range all {
			if !yield(v != nil, err) {
				return
			}
		}
	}
}
