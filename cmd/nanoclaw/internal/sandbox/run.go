package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/nanoclaw/nanoclaw/host"
)

// nanoclaw is a command of the program in the sandbox.
func (b *Box) nanoclaw(flags []string, args ...string) []string {
	all := []string{filepath.Join(b.Workspace, program), "--config", filepath.Join(b.Workspace, configFile)}
	return b.CLI.exec(b.Name, b.Workspace, flags, append(all, args...)...)
}

// status asks the host in the sandbox; nil = none runs.
func (b *Box) status(ctx context.Context) json.RawMessage {
	argv := b.nanoclaw(nil, "status", "--json")
	if !b.asked {
		b.Say("$ " + line(argv))
	}
	b.asked = true
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
	if err != nil || !json.Valid(out) {
		return nil
	}
	return out
}

// start runs the host in the sandbox, in a session that outlives this program. One that runs other programs
// than are there now is stopped before.
func (b *Box) start(ctx context.Context, changed bool) error {
	argv := b.nanoclaw(nil, "run", "--wait-docker", "1m")
	if b.DryRun {
		b.Say("$ " + line(argv) + " &")
		return nil
	}
	if now := b.status(ctx); now != nil {
		if !changed {
			b.Say("nanoclaw runs in it already")
			return nil
		}
		var s struct {
			PID int `json:"pid"`
		}
		if err := json.Unmarshal(now, &s); err != nil || s.PID < 2 {
			return fmt.Errorf("%w: the host in the sandbox does not say its process: %.100q", host.ErrInvalid, now)
		}
		if err := b.do(ctx, b.CLI.exec(b.Name, b.Workspace, nil, "kill", fmt.Sprint(s.PID))); err != nil {
			return err
		}
		if err := b.until(ctx, func() (bool, error) { return b.status(ctx) == nil, nil }); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(b.State, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(b.log(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	b.Say("$ " + line(argv) + " >" + b.log() + " 2>&1 &")
	c := exec.Command(argv[0], argv[1:]...)
	c.Stdout, c.Stderr, c.SysProcAttr = log, log, &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	err = b.until(ctx, func() (bool, error) {
		select {
		case err := <-ended:
			return false, fmt.Errorf("%w: nanoclaw ended in the sandbox: %v\n%s", host.ErrUnavailable, err, b.lastWords())
		default:
			return b.status(ctx) != nil, nil
		}
	})
	if err == nil {
		b.Say("nanoclaw runs in it")
	}
	return err
}

// until waits for ok.
func (b *Box) until(ctx context.Context, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nanoclaw in the sandbox: %w\n%s", context.Cause(ctx), b.lastWords())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// lastWords are the end of the log.
func (b *Box) lastWords() string {
	text, _ := os.ReadFile(b.log())
	text = bytes.TrimSpace(text[max(0, len(text)-2000):])
	return string(bytes.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '?' // it came out of the sandbox, and goes to a terminal
		}
		return r
	}, text))
}

// Shell is the command line of a shell in the sandbox, or of a chat with its host. terminal: somebody types.
func (b *Box) Shell(terminal, chat bool) []string {
	flags := []string{"-i"}
	if terminal {
		flags = []string{"-i", "-t"}
	}
	if chat {
		return b.nanoclaw(flags, "chat")
	}
	return b.CLI.exec(b.Name, b.Workspace, flags, "bash", "-l")
}

// do shows a command and runs it.
func (b *Box) do(ctx context.Context, argv []string) error {
	b.Say("$ " + line(argv))
	if b.DryRun {
		return nil
	}
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Stdin, c.Stdout, c.Stderr = b.In, b.Out, b.Out
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w", line(argv), err)
	}
	return nil
}

// ask shows a command that changes nothing, and returns what it says.
func (b *Box) ask(ctx context.Context, argv []string) ([]byte, error) {
	b.Say("$ " + line(argv))
	var said bytes.Buffer
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", line(argv), err, bytes.TrimSpace(said.Bytes()))
	}
	return out, nil
}

// line is a command as a shell reads it.
func line(argv []string) string {
	quoted := make([]string, len(argv))
	for i, a := range argv {
		quoted[i] = a
		if a == "" || strings.ContainsAny(a, " \t\n\"'`$&|;<>()*?[]#~=%!{}\\") {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
