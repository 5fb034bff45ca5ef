package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/ergochat/readline"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/console"
)

// screen draws one conversation on a terminal: a prompt, a progress line that erases
// itself, and replies.
type screen struct {
	out     io.Writer
	colour  bool
	stage   string    // what the progress line says; "" = no line
	began   time.Time // of the running turn
	partial string    // streamed so far
}

const (
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	plain  = "\x1b[0m"
	erase  = "\r\x1b[K"
	prompt = "you> "
)

func (a *app) interactive(ctx context.Context, s *session, history string) error {
	rl, err := readline.NewFromConfig(&readline.Config{Prompt: prompt, HistoryFile: history, HistoryLimit: 1000})
	if err != nil {
		return err
	}
	defer rl.Close()
	scr := &screen{out: a.stdout, colour: os.Getenv("NO_COLOR") == ""}
	fmt.Fprintln(a.stdout, scr.paint(dim,
		"Ctrl-C stops an answer, Ctrl-D leaves, /file PATH sends a file, /help tells more."))
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	for {
		line, err := a.readLine(rl, s, scr)
		switch {
		case errors.Is(err, readline.ErrInterrupt):
			fmt.Fprintln(a.stdout, scr.paint(dim, "Ctrl-D leaves."))
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		select {
		case <-interrupts: // pressed at the prompt: meant for nothing that runs now
		default:
		}
		if err := scr.turn(ctx, s, line, interrupts); err != nil {
			return err
		}
	}
}

// readLine edits one line; what arrives meanwhile is printed above the prompt.
func (a *app) readLine(rl *readline.Instance, s *session, scr *screen) (string, error) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case f, ok := <-s.frames:
				if !ok {
					fmt.Fprintln(rl.Stdout(), "The host stopped. Ctrl-D leaves.")
					return
				}
				if f.Type == "message" || f.Type == "notice" {
					fmt.Fprintln(rl.Stdout(), scr.message(f))
				}
			case <-stop:
				return
			}
		}
	}()
	line, err := rl.ReadLine()
	close(stop)
	<-stopped
	return line, err
}

// turn says line and draws until its answer is there. Ctrl-C stops it once; twice gives up waiting.
func (scr *screen) turn(ctx context.Context, s *session, line string, interrupts <-chan os.Signal) error {
	scr.began, scr.partial, scr.stage = time.Now(), "", "sending"
	id, err := s.say(ctx, line)
	if errors.Is(err, host.ErrInvalid) {
		fmt.Fprintln(scr.out, scr.paint(red, err.Error()))
		return nil
	}
	if err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	stops, stopID := 0, ""
	for {
		scr.draw()
		select {
		case f, ok := <-s.frames:
			if !ok {
				scr.clear()
				return s.gone(ctx)
			}
			if f.Type == "message" && f.ReplyTo == stopID && stopID != "" {
				continue // "Stopping."; what counts is the turn's own last word
			}
			if scr.frame(f, id) {
				return nil
			}
		case <-interrupts:
			if stops++; stops > 1 {
				scr.clear()
				return nil
			}
			scr.stage = "stopping (Ctrl-C again to stop waiting)"
			if stopID, err = s.say(ctx, "/stop"); err != nil {
				return err
			}
		case <-tick.C:
		}
	}
}

// frame takes one event of the host and reports whether it answers message id.
func (scr *screen) frame(f console.Frame, id string) bool {
	switch f.Type {
	case "progress":
		if f.Stage == host.StageDone {
			scr.clear()
			scr.stage = ""
			return f.Name == id
		}
		scr.stage = string(f.Stage)
		if f.Name != "" {
			scr.stage += " " + f.Name
		}
	case "partial":
		scr.clear()
		scr.stage = ""
		fmt.Fprint(scr.out, f.Text)
		scr.partial += f.Text
	case "notice":
		scr.clear()
		fmt.Fprintln(scr.out, scr.message(f))
	case "message":
		scr.clear()
		scr.stage = ""
		text := scr.message(f)
		if scr.partial != "" {
			fmt.Fprintln(scr.out)
		}
		if strings.TrimSpace(scr.partial) == "" || !strings.HasSuffix(strings.TrimSpace(scr.partial), f.Text) {
			fmt.Fprintln(scr.out, text)
		}
		scr.partial = ""
		return f.ReplyTo == id
	}
	return false
}

func (scr *screen) message(f console.Frame) string {
	switch f.Kind {
	case host.OutError:
		return scr.paint(red, f.Text)
	case host.OutNotice:
		return scr.paint(dim, f.Text)
	}
	return f.Text
}

// draw shows the progress line, unless an answer is being streamed on this line.
func (scr *screen) draw() {
	if scr.stage == "" {
		return
	}
	line := fmt.Sprintf("… %s %.1fs", scr.stage, time.Since(scr.began).Seconds())
	fmt.Fprint(scr.out, erase+scr.paint(dim, line))
}

func (scr *screen) clear() {
	if scr.stage != "" {
		fmt.Fprint(scr.out, erase)
	}
}

func (scr *screen) paint(code, s string) string {
	if !scr.colour {
		return s
	}
	return code + s + plain
}
