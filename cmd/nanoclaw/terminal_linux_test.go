package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// terminal is a program on a pseudo terminal, typed at and read by a test.
type terminal struct {
	t    *testing.T
	keys *os.File
	cmd  *exec.Cmd
	read chan struct{} // closed when there is nothing more to read
	done chan error

	mu     sync.Mutex
	screen strings.Builder
	all    strings.Builder // of what was ever on it
}

func onTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(keys.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 120})
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &terminal{t: t, keys: keys, cmd: cmd, read: make(chan struct{}), done: make(chan error, 1)}
	go p.reads()
	go func() { p.done <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); keys.Close() })
	return p
}

func (p *terminal) reads() {
	defer close(p.read)
	b := make([]byte, 4096)
	for {
		n, err := p.keys.Read(b)
		p.mu.Lock()
		p.screen.Write(b[:n])
		p.all.Write(b[:n])
		p.mu.Unlock()
		if strings.Contains(string(b[:n]), "\x1b[6n") { // where is the cursor? Terminals answer that.
			_, _ = p.keys.WriteString("\x1b[1;1R")
		}
		if err != nil {
			return
		}
	}
}

func (p *terminal) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.screen.String()
}

// settled waits until nothing was drawn for a while: a form that is still being made takes no keys.
func (p *terminal) settled() {
	p.t.Helper()
	drawn := func() int { p.mu.Lock(); defer p.mu.Unlock(); return p.all.Len() }
	for was, quiet := drawn(), time.Now(); time.Since(quiet) < 500*time.Millisecond; time.Sleep(20 * time.Millisecond) {
		if now := drawn(); now != was {
			was, quiet = now, time.Now()
		}
	}
}

func (p *terminal) typed(keys string) {
	p.t.Helper()
	if _, err := p.keys.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// shows waits until what appeared since the call before it holds want.
func (p *terminal) shows(want string) {
	p.t.Helper()
	end := time.Now().Add(time.Minute)
	for !strings.Contains(p.text(), want) {
		if time.Now().After(end) {
			p.t.Fatalf("the terminal does not show %q but %q", want, p.text())
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := p.screen.String()
	rest = rest[strings.Index(rest, want)+len(want):]
	p.screen.Reset()
	p.screen.WriteString(rest)
}

func (p *terminal) ends() error {
	p.t.Helper()
	select {
	case err := <-p.done:
		<-p.read // all of what it said last
		return err
	case <-time.After(time.Minute):
		p.t.Fatalf("the program does not end; the terminal shows %q", p.text())
		return nil
	}
}

// TestChatOnATerminal: a prompt, a progress line, history, Ctrl-D leaves.
func TestChatOnATerminal(t *testing.T) {
	s := newSite(t, "")
	s.env = []string{"TERM=xterm", "NO_COLOR=1"}
	p := onTerminal(t, s.cmd("chat"))
	p.shows("Ctrl-C stops an answer, Ctrl-D leaves")
	p.shows("you> ")
	p.typed("/calc 6*7\r")
	p.shows("… ")
	p.shows("42")
	p.shows("you> ")
	p.typed("\x1b[A\r") // arrow up: the line before
	p.shows("42")
	p.shows("you> ")
	p.typed("\x03") // Ctrl-C at the prompt leaves nothing behind
	p.shows("Ctrl-D leaves.")
	p.shows("you> ")
	p.typed("\x04")
	if err := p.ends(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(s.state, "chat_history")); err != nil || !strings.Contains(string(b), "/calc 6*7") {
		t.Fatalf("history %q, %v", b, err)
	}
}

// TestCtrlCStopsTheTurn: the model hangs, Ctrl-C ends the turn and not the program, and the
// next question is answered.
func TestCtrlCStopsTheTurn(t *testing.T) {
	s, fake := hangingSite(t)
	s.env = append(s.env, "TERM=xterm", "NO_COLOR=1")
	p := onTerminal(t, s.cmd("chat"))
	p.shows("you> ")
	p.typed("think for ever\r")
	p.shows("model")
	p.typed("\x03")
	p.shows("Stopped.")
	fake()
	p.shows("you> ")
	p.typed("and now?\r")
	p.shows("Here I am again.")
	p.shows("you> ")
	p.typed("\x04")
	if err := p.ends(); err != nil {
		t.Fatal(err)
	}
}

// TestTextAppearsAsItComes: the model has not ended, and what it said so far stands there.
func TestTextAppearsAsItComes(t *testing.T) {
	hang := make(chan struct{})
	s, _ := modelSite(t, "openai", modeltest.Answer{Text: "Once upon a time, far away", Hang: hang})
	s.env = append(s.env, "TERM=xterm", "NO_COLOR=1")
	p := onTerminal(t, s.cmd("chat"))
	p.shows("you> ")
	p.typed("tell me\r")
	p.shows("Once upon a time, far away")
	close(hang)
	p.shows("you> ")
	p.typed("\x04")
	if err := p.ends(); err != nil {
		t.Fatal(err)
	}
}
