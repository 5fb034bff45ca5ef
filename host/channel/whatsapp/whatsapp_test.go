//go:build !nowhatsapp

package whatsapp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/whatsapp/fakewa"
)

func TestMain(m *testing.M) {
	whatsmeow.WACertPubKey = fakewa.RootKey()
	os.Exit(m.Run())
}

const within = time.Minute // for what takes a moment on an idle machine

// rig is a channel, the service, and the people on it.
type rig struct {
	t            *testing.T
	s            *fakewa.Server
	owner, alice *fakewa.User
	device       *fakewa.Companion
	cfg          Config
	w            *WhatsApp
	stop         func() // the running channel

	mu      sync.Mutex
	got     []host.Message
	fail    func(host.Message) error
	notices []string
	bump    chan struct{}
}

func newRig(t *testing.T) *rig {
	t.Helper()
	s, err := fakewa.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.FewPreKeys = true
	r := &rig{t: t, s: s, bump: make(chan struct{})}
	r.owner, r.alice = s.NewUser("15550000001", "Olga"), s.NewUser("15550000002", "Alice")
	r.cfg = Config{
		Path:      filepath.Join(t.TempDir(), "whatsapp.db"),
		Transport: func() *http.Transport { return s.HTTPClient().Transport.(*http.Transport) },
		Log:       hclog.NewNullLogger(),
		Notice: func(text string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.notices = append(r.notices, text)
			close(r.bump)
			r.bump = make(chan struct{})
		},
	}
	return r
}

func (r *rig) ctx() context.Context {
	ctx, cancel := context.WithTimeout(r.t.Context(), within)
	r.t.Cleanup(cancel)
	return ctx
}

// link pairs by QR code, without a running channel.
func (r *rig) link() {
	r.t.Helper()
	number, err := Pair(r.ctx(), r.cfg, "", func(st Step) {
		if _, err := r.owner.ScanQR(st.QR); err != nil {
			r.t.Error(err)
		}
	})
	if err != nil || number != "+15550000001" {
		r.t.Fatalf("linked %q: %v", number, err)
	}
}

// start runs the channel as a host would.
func (r *rig) start() {
	r.t.Helper()
	r.w = New(r.cfg)
	r.w.Use(Settings{Assistant: "Andy"})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.w.Run(ctx, r.deliver) }()
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
	r.t.Cleanup(r.stop)
	r.waitState(true, "connected as +15550000001")
	var err error
	if r.device, err = r.owner.WaitLinked(r.ctx()); err != nil {
		r.t.Fatal(err)
	}
}

func started(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.link()
	r.start()
	return r
}

func (r *rig) deliver(_ context.Context, m host.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		if err := r.fail(m); err != nil {
			return err
		}
	}
	r.got = append(r.got, m)
	close(r.bump)
	r.bump = make(chan struct{})
	return nil
}

// wait waits until f, called with the lock held, is true.
func (r *rig) wait(what string, f func() bool) {
	r.t.Helper()
	end := time.After(within)
	for {
		r.mu.Lock()
		ok, bump := f(), r.bump
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-bump:
		case <-end:
			r.t.Fatalf("no %s", what)
		}
	}
}

// message waits for the one that says text.
func (r *rig) message(text string) (m host.Message) {
	r.t.Helper()
	r.wait("message "+text, func() bool {
		i := slices.IndexFunc(r.got, func(m host.Message) bool { return m.Text == text })
		if i >= 0 {
			m = r.got[i]
		}
		return i >= 0
	})
	return m
}

// waitState waits until the channel is in a state whose text begins so. The state changes without news
// for a test, so this one looks again and again.
func (r *rig) waitState(ok bool, text string) {
	r.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		is, good := r.w.State()
		if good == ok && strings.HasPrefix(is, text) {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("state is %q (%v), want %q", is, good, text)
		}
	}
}

func say(text string) *waE2E.Message { return &waE2E.Message{Conversation: proto.String(text)} }

// said waits for the nth message, from 0, on somebody's phone.
func (r *rig) said(u *fakewa.User, n int) fakewa.Received {
	r.t.Helper()
	m, err := u.WaitMessage(r.ctx(), n)
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestADirectChat(t *testing.T) {
	r := started(t)
	id := must(r.alice.Send(r.owner, say("hello")))
	m := r.message("hello")
	want := host.Message{
		Channel: Name, Chat: "100015550000002@lid", Sender: "100015550000002@lid", SenderName: "Alice", ExternalID: id, Text: "hello",
		ChatName: "Alice",
	}
	if m.Chat != want.Chat || m.Sender != want.Sender || m.SenderName != "Alice" || m.ExternalID != id || m.Owner || m.More {
		t.Fatalf("got %+v", m)
	}
	if also := strings.Join(m.SenderAlso, " "); also != "15550000002@s.whatsapp.net +15550000002" {
		t.Errorf("other names: %s", also)
	}
	if err := r.device.WaitAcknowledged(r.ctx()); err != nil {
		t.Fatal(err)
	}
	r.w.Show(m.Chat, host.Event{Stage: host.StageQueued})
	if err := r.alice.WaitRead(r.ctx(), id); err != nil {
		t.Fatal(err)
	}
	_, err := r.s.WaitStanza(r.ctx(), "typing", func(st fakewa.Stanza) bool {
		return st.Node.Tag == "chatstate" && st.Node.GetChildren()[0].Tag == "composing"
	})
	if err != nil {
		t.Fatal(err)
	}
	o := host.Outgoing{ID: host.NewMessageID(), Chat: m.Chat, Text: "*hi*", Kind: host.OutReply, ReplyTo: id}
	if err := r.w.Send(r.ctx(), o); err != nil {
		t.Fatal(err)
	}
	if got := r.said(r.alice, 0); got.Msg.GetConversation() != "Andy: *hi*" {
		t.Fatalf("alice reads %v", got.Msg)
	}
	if _, err := r.s.WaitStanza(r.ctx(), "no typing", func(st fakewa.Stanza) bool {
		return st.Node.Tag == "chatstate" && st.Node.GetChildren()[0].Tag == "paused"
	}); err != nil {
		t.Fatal(err)
	}
	o.ID, o.Text = host.NewMessageID(), "👍🏽"
	if err := r.w.Send(r.ctx(), o); err != nil {
		t.Fatal(err)
	}
	if x := r.said(r.alice, 1).Msg.GetReactionMessage(); x.GetText() != "👍🏽" || x.GetKey().GetID() != id {
		t.Fatalf("alice sees %v", x)
	}
	o.ID, o.Chat, o.Text = host.NewMessageID(), "+15550000002", "by number"
	if err := r.w.Send(r.ctx(), o); err != nil {
		t.Fatal(err)
	}
	if got := r.said(r.alice, 2); got.Msg.GetConversation() != "Andy: by number" {
		t.Fatalf("alice reads %v", got.Msg)
	}
}

func TestTheOwner(t *testing.T) {
	r := started(t)
	r.w.Use(Settings{Assistant: "Andy", OwnNumber: true, Owners: []string{"+15550000002"}})
	must(r.owner.SendOwn(r.owner.LID, say("note to self")))
	if m := r.message("note to self"); !m.Owner || m.Chat != "100015550000001@lid" {
		t.Errorf("own phone, own chat: %+v", m)
	}
	must(r.owner.SendOwn(r.alice.LID, say("to alice")))
	if m := r.message("to alice"); !m.Owner || m.Chat != "100015550000002@lid" || m.ChatName != "" {
		t.Errorf("own phone, other chat: %+v", m)
	}
	must(r.alice.Send(r.owner, say("it is me")))
	if m := r.message("it is me"); !m.Owner {
		t.Errorf("another number of the owner: %+v", m)
	}
	bob := r.s.NewUser("15550000003", "Bob")
	must(bob.Send(r.owner, say("it is me too")))
	if m := r.message("it is me too"); m.Owner {
		t.Errorf("somebody: %+v", m)
	}
}

// What is for the owner alone goes to a chat of which nobody else is part, and is not said where nobody
// knows who that is.
func TestOwnerChats(t *testing.T) {
	r := newRig(t)
	if got := New(r.cfg).OwnerChats(); got != nil {
		t.Errorf("before a phone is linked: %q", got)
	}
	r.link()
	r.start()
	must(r.alice.Send(r.owner, say("hello")))
	r.message("hello")
	for _, tc := range []struct {
		set  Settings
		want string
	}{
		{Settings{}, "[100015550000001@lid 15550000001@s.whatsapp.net +15550000001]"},
		{Settings{Owners: []string{"+15550000002"}}, "[100015550000001@lid 15550000001@s.whatsapp.net +15550000001]"},
		{Settings{OwnNumber: true}, "[]"},
		{Settings{OwnNumber: true, Owners: []string{"+15550000002"}}, "[100015550000002@lid 15550000002@s.whatsapp.net +15550000002]"},
	} {
		r.w.Use(tc.set)
		if got := fmt.Sprint(r.w.OwnerChats()); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.set, got, tc.want)
		}
	}
	r.device.Unlink()
	r.waitState(false, "unlinked")
	for end := time.Now().Add(within); r.w.OwnerChats() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("an owner's chat after unlinking")
		}
	}
}

// The assistant's own messages come back from the phone's other devices, and are dropped.
func TestEchoesAreDropped(t *testing.T) {
	r := started(t)
	o := host.Outgoing{ID: "m-1", Chat: "+15550000002", Text: "hi"}
	if err := r.w.Send(r.ctx(), o); err != nil {
		t.Fatal(err)
	}
	sent := r.said(r.alice, 0).ID
	if len(sent) != 22 || !strings.HasPrefix(sent, "3EB0") {
		t.Errorf("ID %s is not like those of linked devices", sent)
	}
	if err := r.owner.Resend(r.owner, sent, say("Andy: hi")); err != nil {
		t.Fatal(err)
	}
	must(r.owner.SendOwn(r.owner.LID, say("mine")))
	r.message("mine")
	if len(r.got) != 1 {
		t.Errorf("got %+v", r.got)
	}
	if err := r.device.WaitAcknowledged(r.ctx()); err != nil {
		t.Fatal(err)
	}
	r.stop() // and the next host knows them too
	r.start()
	if err := r.owner.Resend(r.owner, sent, say("Andy: hi")); err != nil {
		t.Fatal(err)
	}
	must(r.owner.SendOwn(r.owner.LID, say("mine again")))
	r.message("mine again")
	if len(r.got) != 2 {
		t.Errorf("got %+v", r.got)
	}
	if err := r.w.Send(r.ctx(), o); err != nil {
		t.Fatal(err)
	}
	if again := r.said(r.alice, 1).ID; again != sent {
		t.Errorf("the same message has IDs %s and %s", sent, again)
	}
}

func TestGroups(t *testing.T) {
	r := started(t)
	bob := r.s.NewUser("15550000003", "Bob")
	g := r.s.NewGroup("Family", r.owner, r.alice, bob)
	id := must(g.Send(r.alice, say("lunch?")))
	m := r.message("lunch?")
	if string(m.Chat) != g.JID.String() || m.ChatName != "Family" || m.Sender != "100015550000002@lid" || m.Owner || m.Mentioned {
		t.Fatalf("got %+v", m)
	}
	must(g.Send(r.owner, say("from my phone")))
	if m := r.message("from my phone"); !m.Owner {
		t.Errorf("got %+v", m)
	}
	err := r.w.Send(r.ctx(), host.Outgoing{ID: "g-1", Chat: m.Chat, Text: "yes, @Alice (@Alicelike, a@Alice)", Kind: host.OutReply, ReplyTo: id})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []*fakewa.User{r.alice, bob} {
		x := r.said(u, 0).Msg.GetExtendedTextMessage()
		c := x.GetContextInfo()
		if x.GetText() != "Andy: yes, @100015550000002 (@Alicelike, a@Alice)" || c.GetMentionedJID()[0] != "100015550000002@lid" ||
			c.GetStanzaID() != id || c.GetParticipant() != "100015550000002@lid" || c.GetQuotedMessage().GetConversation() != "lunch?" {
			t.Fatalf("%s reads %v", u.Name, x)
		}
	}
	answered := r.said(bob, 0).ID
	must(g.Send(bob, &waE2E.Message{ExtendedTextMessage: &waE2E.ExtendedTextMessage{
		Text: proto.String("@100015550000001 and @100015550000002, when?"),
		ContextInfo: &waE2E.ContextInfo{
			MentionedJID: []string{"100015550000001@lid", "100015550000002@lid"},
			StanzaID:     &answered, Participant: proto.String("100015550000001@lid"), QuotedMessage: say("Andy: yes"),
		},
	}}))
	m = r.message("@Andy and @Alice, when?")
	if !m.Mentioned || !m.ReplyToMe || m.Below != "[in answer to Andy:]\n> Andy: yes" {
		t.Fatalf("got %+v", m)
	}
}

// edit is a change of message id as phones send it.
func edit(id, text string) *waE2E.Message {
	return &waE2E.Message{EditedMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{
		ProtocolMessage: &waE2E.ProtocolMessage{
			Type: waE2E.ProtocolMessage_MESSAGE_EDIT.Enum(), Key: &waCommon.MessageKey{ID: &id}, EditedMessage: say(text),
		},
	}}}
}

func TestKindsOfMessages(t *testing.T) {
	r := started(t)
	first := must(r.alice.Send(r.owner, say("first\nline")))
	r.message("first\nline")
	for _, tc := range []struct {
		m     *waE2E.Message
		text  string
		below string
		quiet bool
	}{
		{&waE2E.Message{ImageMessage: &waE2E.ImageMessage{Caption: proto.String("@Andy look"), FileLength: proto.Uint64(9)}}, "@Andy look", "[image, 9 bytes]", false},
		{&waE2E.Message{ImageMessage: &waE2E.ImageMessage{FileLength: proto.Uint64(9)}}, "[image, 9 bytes]", "", false},
		{&waE2E.Message{DocumentMessage: &waE2E.DocumentMessage{FileName: proto.String("a\n] b.pdf")}}, "[document a ] b.pdf, 0 bytes]", "", false},
		{&waE2E.Message{AudioMessage: &waE2E.AudioMessage{PTT: proto.Bool(true)}}, "[voice message, 0 bytes]", "", false},
		{&waE2E.Message{VideoMessage: &waE2E.VideoMessage{Caption: proto.String("v")}}, "v", "[video, 0 bytes]", false},
		{&waE2E.Message{ReactionMessage: &waE2E.ReactionMessage{
			Text: proto.String("❤️"), Key: r.w.session.cli.BuildMessageKey(r.alice.LID, r.alice.LID, first),
		}}, "[reacts with ❤️]", "[in answer to a message:]\n> first\n> line", true},
		{&waE2E.Message{EphemeralMessage: &waE2E.FutureProofMessage{Message: say("soon gone")}}, "soon gone", "", false},
		{edit(first, "/first again"), "[changes a message to:] /first again", "[which was:]\n> first\n> line", true},
		{edit("3A00", "second"), "[changes a message to:] second", "", true},
		{r.w.session.cli.BuildRevoke(r.owner.PN, r.alice.PN, first), "[takes a message back]", "[which was:]\n> first\n> line", true},
		{&waE2E.Message{LocationMessage: &waE2E.LocationMessage{DegreesLatitude: proto.Float64(1), Name: proto.String("x")}}, "[location 1.000000, 0.000000 x]", "", false},
	} {
		must(r.alice.Send(r.owner, tc.m))
		if m := r.message(tc.text); m.Below != tc.below || m.Quiet != tc.quiet {
			t.Errorf("%s: %+v", tc.text, m)
		}
	}
	for _, m := range []*waE2E.Message{
		{ProtocolMessage: &waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_REVOKE.Enum()}}, // of no message
		{ProtocolMessage: &waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_EPHEMERAL_SETTING.Enum(), Key: &waCommon.MessageKey{ID: &first}}},
		{EditedMessage: &waE2E.FutureProofMessage{Message: say("edited")}},
		{},
	} {
		must(r.alice.Send(r.owner, m))
	}
	must(r.alice.Send(r.owner, say("end")))
	if r.message("end"); len(r.got) != 13 {
		t.Errorf("%d messages: %+v", len(r.got), r.got)
	}
	if err := r.device.WaitAcknowledged(r.ctx()); err != nil {
		t.Fatal(err)
	}
}

// One person keeps the ID of the first name, whatever names come later.
func TestOneIDForAllNames(t *testing.T) {
	r := started(t)
	bob := r.s.NewUser("15550000003", "Bob")
	for i, mode := range []fakewa.Addressing{fakewa.AsPNOnly, fakewa.AsPN, fakewa.AsLID} {
		text := fmt.Sprintf("hello %d", i)
		must(bob.Send(r.owner, say(text), mode))
		if m := r.message(text); m.Chat != "15550000003@s.whatsapp.net" || m.Sender != "15550000003@s.whatsapp.net" ||
			!slices.Contains(m.SenderAlso, "+15550000003") || i > 0 && !slices.Contains(m.ChatAlso, "100015550000003@lid") {
			t.Errorf("%d: %+v", i, m)
		}
	}
}

func TestNamesMerge(t *testing.T) {
	k := must(openKeys(t.Context(), filepath.Join(t.TempDir(), "x.db"), hclog.NewNullLogger()))
	t.Cleanup(k.close)
	for _, tc := range []struct {
		names      []string
		id, merged string
	}{
		{[]string{"a-lid", "a-pn"}, "a-lid", ""},
		{[]string{"a-pn"}, "a-lid", ""},
		{[]string{"b-pn"}, "b-pn", ""},
		{[]string{"b-lid"}, "b-lid", ""},
		{[]string{"b-lid", "b-pn"}, "b-pn", "b-lid"},
		{[]string{"b-lid"}, "b-pn", ""},
		{[]string{"b-lid", "b-pn"}, "b-pn", ""},
		{[]string{"c-pn"}, "c-pn", ""},
		{[]string{"c-lid", "c-pn"}, "c-pn", ""},
	} {
		id, merged, err := k.identify(t.Context(), tc.names)
		if err != nil || id != tc.id || merged != tc.merged {
			t.Errorf("%v: %q %q %v, want %q %q", tc.names, id, merged, err, tc.id, tc.merged)
		}
	}
}

// What cannot be committed is not acknowledged, and comes back; what can never be is dropped and told.
func TestAMessageIsAcknowledgedWhenItIsKept(t *testing.T) {
	r := started(t)
	failed := 0
	r.fail = func(m host.Message) error {
		switch {
		case m.Text == "bad":
			return host.ErrInvalid
		case m.Text == "mad" && failed == 1:
			failed++
			panic("mad")
		case m.Text != "fine" && failed == 0:
			failed++
			if r.device.Pending() == 0 {
				t.Error("acknowledged before it was kept")
			}
			return errors.New("disk full")
		}
		return nil
	}
	must(r.alice.Send(r.owner, say("kept later")))
	r.message("kept later")
	must(r.alice.Send(r.owner, say("mad")))
	r.message("mad")
	must(r.alice.Send(r.owner, say("bad")))
	must(r.alice.Send(r.owner, say("fine")))
	r.message("fine")
	if err := r.device.WaitAcknowledged(r.ctx()); err != nil {
		t.Fatal(err)
	}
	r.wait("notice", func() bool { return len(r.notices) == 1 && strings.Contains(r.notices[0], "could not be taken") })
}

// What came while the host was away is there as a whole before Ready says so.
func TestBacklog(t *testing.T) {
	r := started(t)
	r.stop()
	for i := range 5 {
		must(r.alice.Send(r.owner, say(fmt.Sprintf("missed %d", i))))
	}
	r.start()
	for i := range 5 {
		if m := r.message(fmt.Sprintf("missed %d", i)); !m.More {
			t.Errorf("%s is not held", m.Text)
		}
	}
	for held := true; held; time.Sleep(time.Millisecond) {
		s, _, err := r.w.live()
		if err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		held = s.backlog
		s.mu.Unlock()
	}
	<-r.w.Ready()
	must(r.alice.Send(r.owner, say("live")))
	if m := r.message("live"); m.More {
		t.Error("a message that just came is held")
	}
	if err := r.device.WaitAcknowledged(r.ctx()); err != nil {
		t.Fatal(err)
	}
}
