package phone

import (
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"

	"github.com/nanoclaw/nanoclaw/host/channel/console"
	"github.com/nanoclaw/nanoclaw/host/daemon"
)

// listener is the owner at a console.
type listener struct {
	mu     sync.Mutex
	frames []console.Frame
}

func (l *listener) of(kind string) (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.frames {
		if f.Type == kind {
			out = append(out, f.Text)
		}
	}
	return out
}

// console opens one. It ends with the host.
func (w *world) console() *listener {
	w.t.Helper()
	l := &listener{}
	cl, err := daemon.Dial(w.ctx(), w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		_ = cl.Listen(w.t.Context(), "default", func(f console.Frame) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.frames = append(l.frames, f)
		})
	}()
	w.until("the console is open", func() bool { return len(l.of("hello")) == 1 })
	return l
}

func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for ctx := w.ctx(); !is(); time.Sleep(20 * time.Millisecond) {
		if ctx.Err() != nil {
			w.t.Fatal("not so: " + what)
		}
	}
}

// What ends the connection is in `nanoclaw status`, is said once at the owner's console, and costs no
// message: each is answered once when the connection is back.
func TestStates(t *testing.T) {
	w := newWorld(t)
	w.link()
	w.start()
	w.idle(true)
	owner := w.console()
	ban := "banned for now by WhatsApp: 101: you sent too many messages to people who don't have you in their address " +
		"books; until 20"
	for i, tc := range []struct {
		name, want string
		do         func()
		back       bool // by itself, soon; else it needs the owner: here SIGHUP
	}{
		{"banned for an hour", ban, func() { w.refuse(402, waBinary.Attrs{"code": "101", "expire": "3600"}) }, false},
		{"banned for a second", ban, func() { w.refuse(402, waBinary.Attrs{"code": "101", "expire": "1"}) }, true},
		{"outdated", "WhatsApp no longer takes this version: update nanoclaw", func() { w.refuse(405, nil) }, false},
		{"replaced", "another program uses the same keys: stop it, then restart this host", func() {
			w.s.StreamError(w.device(), "", waBinary.Node{Tag: "conflict", Attrs: waBinary.Attrs{"type": "replaced"}})
		}, false},
	} {
		tc.do()
		w.until(tc.name+": it is told", func() bool { return len(owner.of("notice")) == i+1 })
		if got := owner.of("notice")[i]; !strings.HasPrefix(got, "WhatsApp: "+tc.want) {
			t.Errorf("%s: the owner is told %q", tc.name, got)
		}
		w.writes(w.alice, "while "+tc.name)
		if !tc.back {
			out, err := w.says("status")
			if err != nil || !strings.Contains(out, "whatsapp ("+tc.want) {
				t.Errorf("%s: %v: status says %s", tc.name, err, out)
			}
			if err := w.host.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}
		w.caughtUp()
		if n := strings.Count(strings.Join(reads(w.alice), "\n"), ": while "+tc.name); n != 1 {
			t.Errorf("%s: %d answers; alice reads %q", tc.name, n, reads(w.alice))
		}
	}
	w.device().Unlink()
	w.idle(false)
	w.until("the logout is told", func() bool { return len(owner.of("notice")) == 5 })
	want := "unlinked by the phone or by WhatsApp"
	if got := owner.of("notice")[4]; !strings.HasPrefix(got, "WhatsApp: "+want) {
		t.Errorf("the owner is told %q", got)
	}
	if out, err := w.says("status"); err != nil || !strings.Contains(out, "whatsapp ("+want) ||
		!strings.Contains(out, "nanoclaw channel add whatsapp") {
		t.Errorf("%v: status says %s", err, out)
	}
}

// refuse makes the service refuse the next login, and asks for one.
func (w *world) refuse(reason int, attrs waBinary.Attrs) {
	w.s.FailNextLogin(reason, attrs)
	w.s.DropAll()
}
