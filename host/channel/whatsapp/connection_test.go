//go:build !nowhatsapp

package whatsapp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	waBinary "go.mau.fi/whatsmeow/binary"
	"golang.org/x/sync/errgroup"

	"github.com/nanoclaw/nanoclaw/host"
)

func TestPairingByCode(t *testing.T) {
	r := newRig(t)
	codes := 0
	number, err := Pair(r.ctx(), r.cfg, "+15550000001", func(st Step) {
		if st.QR != "" || len(st.Code) != 9 || time.Until(st.Until) < time.Minute {
			t.Errorf("step %+v", st)
		}
		notes := []string{"", "is not the one that stood here", "was not typed in time"}
		if codes == len(notes) || !strings.Contains(st.Note, notes[codes]) {
			t.Fatalf("code %d, note %q", codes, st.Note)
		}
		code := st.Code
		switch codes++; codes {
		case 1:
			code = "1111-1111"
		case 2:
			r.s.DropAll() // WhatsApp hangs up
			return
		}
		if err := r.owner.EnterCode(code); err != nil {
			t.Error(err)
		}
	})
	if err != nil || number != "+15550000001" || codes != 3 {
		t.Fatalf("linked %q after %d codes: %v", number, codes, err)
	}
	if st, err := os.Stat(r.cfg.Path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("keys: %v %v", st.Mode(), err)
	}
	if linked, err := Linked(r.ctx(), r.cfg); err != nil || linked != number {
		t.Errorf("linked: %q %v", linked, err)
	}
	if _, err := Pair(r.ctx(), r.cfg, "", func(Step) {}); err == nil || !strings.Contains(err.Error(), "linked to +15550000001 already") {
		t.Errorf("linked twice: %v", err)
	}
	if err := Unlink(r.ctx(), r.cfg, false); err != nil {
		t.Fatal(err)
	}
	if err := r.owner.WaitUnlinked(r.ctx()); err != nil {
		t.Fatal(err)
	}
	if err := Unlink(r.ctx(), r.cfg, false); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("unlinked twice: %v", err)
	}
}

func TestPairingFails(t *testing.T) {
	for name, tc := range map[string]struct {
		phone string
		first func(*rig)
		step  func(*rig)
		want  string
	}{
		"nobody scans":       {step: func(r *rig) { r.s.DropAll() }, want: "no phone used one of the codes in time"},
		"outdated":           {first: func(r *rig) { r.s.FailNextLogin(405, nil) }, want: "update nanoclaw"},
		"passkey":            {step: func(r *rig) { r.s.AskPasskey() }, want: "asks for a passkey"},
		"no number":          {phone: "0555 123", want: `write the phone's number as "+"`},
		"number of nobody":   {phone: "+15559999999", want: "is it a number with WhatsApp"},
		"banned":             {first: func(r *rig) { r.s.FailNextLogin(402, waBinary.Attrs{"code": "101"}) }, want: "banned for now"},
		"refused":            {first: func(r *rig) { r.s.FailNextLogin(400, nil) }, want: "refuses the connection"},
		"nobody is there":    {first: func(r *rig) { r.s.Close() }, want: "cannot be reached"},
		"others can read it": {first: func(r *rig) { _ = os.WriteFile(r.cfg.Path, nil, 0o644) }, want: "chmod 600"},
		"no database":        {first: func(r *rig) { _ = os.WriteFile(r.cfg.Path, []byte(strings.Repeat("x", 5000)), 0o600) }, want: "not a database"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if tc.first != nil {
				tc.first(r)
			}
			_, err := Pair(r.ctx(), r.cfg, tc.phone, func(Step) {
				if tc.step != nil {
					tc.step(r)
				}
			})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestPairingStops(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Pair(ctx, r.cfg, "", func(Step) { cancel() }); !errors.Is(err, host.ErrStopped) {
		t.Fatal(err)
	}
}

// A phone is linked while the host runs, and unlinked by it.
func TestLinkedWhileTheHostRuns(t *testing.T) {
	r := newRig(t)
	r.w = New(r.cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.w.Run(ctx, r.deliver) }()
	t.Cleanup(func() { cancel(); <-done })
	r.waitState(false, "not linked")
	if err := r.w.Send(r.ctx(), host.Outgoing{ID: "1", Chat: "+15550000002", Text: "x"}); !errors.Is(err, host.ErrUnavailable) {
		t.Errorf("sent without a phone: %v", err)
	}
	r.link()
	r.w.Look()
	r.waitState(true, "connected")
	<-r.w.Ready()
	r.greeted()
	if err := r.w.Unlink(r.ctx()); err != nil {
		t.Fatal(err)
	}
	r.waitState(false, "not linked")
	if err := r.owner.WaitUnlinked(r.ctx()); err != nil {
		t.Fatal(err)
	}
	r.link()
	r.w.Look()
	r.waitState(true, "connected")
}

// What ends the connection for good is said once, and what can end does end.
func TestPermanentStates(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(*rig)
		want string
		back bool // after Look
	}{
		"unlinked on the phone": {func(r *rig) { r.device.Unlink() }, "unlinked by the phone", false},
		"unlinked while away": {func(r *rig) {
			r.s.FailNextLogin(401, nil)
			r.s.DropAll()
		}, "unlinked by the phone", false},
		"banned for good": {func(r *rig) { r.s.FailNextLogin(406, nil); r.s.DropAll() }, "the account is banned", false},
		"banned": {func(r *rig) {
			r.s.FailNextLogin(402, waBinary.Attrs{"code": "101", "expire": "3600"})
			r.s.DropAll()
		}, "banned for now by WhatsApp: 101: you sent too many messages to people who don't have you in their address books; until ", true},
		"outdated": {func(r *rig) { r.s.FailNextLogin(405, nil); r.s.DropAll() }, "WhatsApp no longer takes this version", true},
		"replaced": {func(r *rig) {
			r.s.StreamError(r.device, "", waBinary.Node{Tag: "conflict", Attrs: waBinary.Attrs{"type": "replaced"}})
		}, "another program uses the same keys", true},
		"something new": {func(r *rig) { r.s.FailNextLogin(499, nil); r.s.DropAll() }, "WhatsApp refuses the connection: connect failure: 499", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := started(t)
			tc.do(r)
			r.waitState(false, tc.want)
			r.wait("notice", func() bool { return len(r.notices) == 1 && strings.HasPrefix(r.notices[0], "WhatsApp: "+tc.want) })
			err := r.w.Send(r.ctx(), host.Outgoing{ID: "1", Chat: "+15550000002", Text: "x"})
			if !errors.Is(err, host.ErrUnavailable) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("sent: %v", err)
			}
			r.w.Look()
			if tc.back {
				r.waitState(true, "connected")
			}
		})
	}
}

func TestABanEnds(t *testing.T) {
	r := started(t)
	r.s.FailNextLogin(402, waBinary.Attrs{"code": "102", "expire": "1"})
	r.s.DropAll()
	r.wait("notice", func() bool { return len(r.notices) == 1 })
	r.waitState(true, "connected")
}

func TestTheLibraryReconnects(t *testing.T) {
	r := started(t)
	for i := range 3 {
		<-r.w.Ready()
		r.s.DropAll()
		<-r.w.Ready() // connected again
		text := fmt.Sprintf("after cut %d", i)
		must(r.alice.Send(r.owner, say(text)))
		r.message(text)
		r.w.signal()
	}
	if len(r.notices) != 0 {
		t.Errorf("told: %v", r.notices)
	}
}

// A message whose acknowledgement never came may have been sent.
func TestAmbiguousSends(t *testing.T) {
	r := started(t)
	r.s.CutBeforeAck(2)
	err := r.w.Send(r.ctx(), host.Outgoing{ID: "1", Chat: "+15550000002", Text: "perhaps"})
	if !errors.Is(err, host.ErrUnknownOutcome) {
		t.Fatalf("got %v", err)
	}
	if got := r.said(r.alice, 0); got.Msg.GetConversation() != "Andy: perhaps" {
		t.Fatalf("alice reads %v", got)
	}
}

func TestRefusedSends(t *testing.T) {
	r := started(t)
	left := r.s.NewGroup("Others", r.alice)
	for chat, want := range map[string]error{
		"+19990000000": host.ErrNotFound, left.JID.String(): host.ErrDenied, "1@g.us": host.ErrNotFound,
		"somebody": host.ErrInvalid, "": host.ErrInvalid, "x@broadcast": host.ErrInvalid, "15550000002:3@s.whatsapp.net": host.ErrInvalid,
	} {
		err := r.w.Send(r.ctx(), host.Outgoing{ID: "1", Chat: host.ChatID(chat), Text: "x"})
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", chat, err, want)
		}
	}
}

// Messages beyond the burst wait; those that cannot are said to be unsent.
func TestSendsAreLimited(t *testing.T) {
	r := started(t)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	began := time.Now()
	for i := range burst + 1 {
		if err := r.w.Send(ctx, host.Outgoing{ID: host.MessageID(fmt.Sprint(i)), Chat: "+15550000002", Text: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < sendRate/2 {
		t.Errorf("%d messages in %s", burst+1, took)
	}
	cancel()
	r.w.limit.ReserveN(time.Now(), burst)
	<-r.w.Ready()
	if err := r.w.Send(ctx, host.Outgoing{ID: "last", Chat: "+15550000002", Text: "x"}); !errors.Is(err, host.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	<-r.w.Ready()
}

// The WebSocket goes through the proxy, and with it every other connection of the client.
func TestProxy(t *testing.T) {
	r := newRig(t)
	direct := r.s.HTTPClient().Transport.(*http.Transport)
	var through []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodConnect {
			http.Error(w, "CONNECT only", http.StatusMethodNotAllowed)
			return
		}
		through = append(through, req.Host)
		there, err := direct.DialContext(req.Context(), "tcp", req.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		here, _, _ := http.NewResponseController(w).Hijack()
		fmt.Fprint(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); there.Close() }()
		_, _ = io.Copy(here, there)
		here.Close()
	}))
	t.Cleanup(proxy.Close)
	r.cfg.Transport = func() *http.Transport {
		tr := direct.Clone()
		tr.DialContext = nil
		tr.Proxy = http.ProxyURL(must(url.Parse(proxy.URL)))
		return tr
	}
	r.link()
	r.start()
	if len(through) < 2 || through[0] != "web.whatsapp.com:443" {
		t.Errorf("through the proxy: %v", through)
	}
}

// Several programs may make the same keys at once: a host that starts, and 'channel add'.
func TestKeysAreMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "whatsapp.db")
	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			k, err := openKeys(t.Context(), path, hclog.NewNullLogger())
			if err == nil {
				k.close()
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}
