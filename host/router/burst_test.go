package router

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/store"
)

// burst delivers messages to chats, a few chats at a time and in order within a chat, as a channel does that
// was offline, and returns what each chat was told, how long each message waited for its answer, and the
// largest heap that was seen.
func burst(t testing.TB, f fixture, chats, each int) (told map[host.ChatID]string, waits []time.Duration, heap uint64) {
	t.Helper()
	var mu sync.Mutex
	begun := make(map[string]time.Time)
	told = make(map[host.ChatID]string)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var m runtime.MemStats
		for n := 0; n < chats*each; {
			select {
			case o := <-f.ch.sent:
				mu.Lock()
				for text := range strings.SplitSeq(o.Text, "|") {
					waits = append(waits, time.Since(begun[string(o.Chat)+text]))
					told[o.Chat] += text + "|"
					n++
				}
				mu.Unlock()
			case <-time.After(2 * time.Minute):
				return // the caller sees what is missing
			}
			if n%100 == 0 {
				runtime.ReadMemStats(&m)
				heap = max(heap, m.HeapAlloc)
			}
		}
	}()
	var all errgroup.Group
	all.SetLimit(16)
	for c := range chats {
		all.Go(func() error {
			chat := host.ChatID(fmt.Sprint("chat-", c))
			for n := range each {
				text := fmt.Sprint(n)
				mu.Lock()
				begun[string(chat)+text] = time.Now()
				mu.Unlock()
				if err := f.Deliver(t.Context(), say(chat, fmt.Sprint(chat, "-", n), text)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	<-done
	return told, waits, heap
}

// TestBurst: a thousand chats write ten thousand messages at once. Each is answered once, in the order of
// its chat, and what the host holds meanwhile does not grow with the backlog. A few turns run at a time, as
// the agents' pool has it.
func TestBurst(t *testing.T) {
	chats, each := 1000, 10
	if testing.Short() {
		chats = 100
	}
	pool := make(chan struct{}, 4)
	f := start(t, db(t), func(ctx context.Context, a host.Agent, turn store.Turn, emit func(host.Event)) (string, error) {
		pool <- struct{}{}
		defer func() { <-pool }()
		return echo(ctx, a, turn, emit)
	})
	told, _, heap := burst(t, f, chats, each)
	var want strings.Builder
	for n := range each {
		fmt.Fprintf(&want, "%d|", n)
	}
	if len(told) != chats {
		t.Errorf("%d of %d chats were answered", len(told), chats)
	}
	for chat, got := range told {
		if got != want.String() {
			t.Errorf("%s was told %q, want %q", chat, got, want.String())
		}
	}
	if heap > 128<<20 {
		t.Errorf("the heap grew to %d MiB", heap>>20)
	}
	if n := f.Busy(); n > chats {
		t.Errorf("%d agents at work for %d chats", n, chats)
	}
}

// BenchmarkBurst is what one message of such a burst costs, from its delivery to the sending of its answer,
// beside one synced commit of the same database.
func BenchmarkBurst(b *testing.B) {
	b.Run("message", func(b *testing.B) {
		f := start(b, db(b), echo)
		b.ResetTimer()
		each := max(1, b.N/1000)
		_, waits, _ := burst(b, f, max(1, b.N/each), each)
		slices.Sort(waits)
		if len(waits) > 0 {
			b.ReportMetric(float64(waits[len(waits)*99/100]), "p99-ns")
		}
	})
	b.Run("commit", func(b *testing.B) {
		f := start(b, db(b), echo)
		b.ResetTimer()
		for n := range b.N {
			if _, err := f.st.AddMessage(b.Context(), say("x", fmt.Sprint(n), "text"), "", false); err != nil {
				b.Fatal(err)
			}
		}
	})
}
