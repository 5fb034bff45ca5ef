package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/console"
	"github.com/nanoclaw/nanoclaw/host/daemon"
)

func (a *app) chatCmd() *cobra.Command {
	var chat string
	c := &cobra.Command{
		Use: "chat", Short: "Talk to the assistant in this terminal", Args: cobra.NoArgs,
		Long: `Talk to the assistant in this terminal.

With a terminal: line editing, history (arrow up), Ctrl-C stops the answer that is being
worked on, Ctrl-D leaves. Without one: one message a line, replies alone on stdout.

A line "/file PATH" sends a file, with what stands after the path as its caption. Files that
the assistant sends are named by where they are.

It talks to the host that "nanoclaw run" started on the same state directory, or starts
one inside itself when none runs.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.chat(cmd.Context(), chat) },
	}
	c.Flags().StringVar(&chat, "chat", "default", "name of the conversation; each has its own agent and memory")
	return c
}

func (a *app) chat(ctx context.Context, chat string) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	atTerminal := isTerminal(a.stdin)
	if atTerminal && !a.verbose { // what the owner should know comes as notices
		a.log.SetLevel(hclog.Error)
	}
	if atTerminal { // Ctrl-C belongs to the turn here, not to the program
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM, syscall.SIGHUP)
		defer stop()
	}
	cl, err := daemon.Dial(ctx, cfg.StateDir)
	if errors.Is(err, host.ErrNotFound) {
		d, e := a.startHost(ctx, cfg)
		if e != nil {
			return e
		}
		defer d.Stop()
		cl, err = daemon.Dial(ctx, cfg.StateDir)
	}
	if err != nil {
		return err
	}
	s, err := openSession(ctx, cl, chat)
	if err != nil {
		return err
	}
	if atTerminal {
		return a.interactive(ctx, s, filepath.Join(cfg.StateDir, "chat_history"))
	}
	return a.piped(ctx, s)
}

// session is one open conversation with the host.
type session struct {
	client *daemon.Client
	chat   string
	frames chan console.Frame // closed when the host goes
	err    error              // why; read after frames is closed
}

// openSession returns when the host has taken the listener, so that no reply is missed.
func openSession(ctx context.Context, cl *daemon.Client, chat string) (*session, error) {
	s := &session{client: cl, chat: chat, frames: make(chan console.Frame, 64)}
	go func() {
		defer close(s.frames)
		s.err = cl.Listen(ctx, chat, func(f console.Frame) {
			select {
			case s.frames <- f:
			case <-ctx.Done():
			}
		})
	}()
	if _, ok := <-s.frames; !ok { // the first frame is "hello"
		return nil, errors.Join(s.err, ctx.Err())
	}
	return s, nil
}

func (s *session) say(ctx context.Context, text string) (id string, err error) {
	in, err := inputOf(rand.Text(), text)
	if err != nil {
		return "", err
	}
	return in.ID, s.client.Say(ctx, s.chat, in)
}

// gone explains why frames was closed.
func (s *session) gone(ctx context.Context) error {
	if ctx.Err() != nil {
		return &exitError{code: 130}
	}
	return errors.Join(fmt.Errorf("%w: the host stopped; what you wrote is kept and will be answered when it runs again",
		host.ErrUnavailable), s.err)
}

// piped sends one message a line and prints replies only. What fails goes to stderr and
// makes the exit code 1, but the lines after it are still asked.
func (a *app) piped(ctx context.Context, s *session) error {
	failed := false
	lines := bufio.NewReader(a.stdin)
	for {
		line, err := lines.ReadString('\n')
		if strings.TrimSpace(line) != "" {
			ok, e := a.ask(ctx, s, strings.TrimRight(line, "\r\n"))
			if e != nil {
				return e
			}
			failed = failed || !ok
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if failed {
		return &exitError{code: exitFailure}
	}
	return nil
}

// ask says one line and waits for its answer.
func (a *app) ask(ctx context.Context, s *session, line string) (ok bool, err error) {
	id, err := s.say(ctx, line)
	if errors.Is(err, host.ErrInvalid) {
		fmt.Fprintln(a.stderr, "nanoclaw:", err)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for f := range s.frames {
		if f.Type == "notice" {
			fmt.Fprintln(a.stderr, f.Text)
		}
		if f.Type == "progress" && f.Stage == host.StageDone && f.Name == id {
			return true, nil
		}
		if f.Type != "message" {
			continue
		}
		if f.Kind == host.OutError {
			fmt.Fprintln(a.stderr, f.Text)
		} else {
			fmt.Fprintln(a.stdout, f.Text)
		}
		if f.ReplyTo == id {
			return f.Kind != host.OutError, nil
		}
	}
	return false, s.gone(ctx)
}
