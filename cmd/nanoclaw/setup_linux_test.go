package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/cmd/nanoclaw/internal/wizard"
	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// newcomer is a site without a configuration.
func newcomer(t *testing.T) site {
	t.Helper()
	s := newSite(t, "")
	s.cfg = filepath.Join(t.TempDir(), "etc", "nanoclaw.toml")
	s.env = []string{"TERM=xterm", "NO_COLOR=1", "ANTHROPIC_API_KEY=", "OPENAI_API_KEY=", "HOME=" + t.TempDir()}
	if s.runtimeFlag() != nil {
		t.Skip("setup writes no runtime; the suites on other runtimes have it in their file")
	}
	return s
}

func (s site) runtimeFlag() []string {
	if testRuntime == "" {
		return nil
	}
	return []string{"--runtime", testRuntime}
}

// TestSetupOnATerminal: the real program, real key presses, a wrong key first, and a first reply. The
// key is nowhere to be seen.
func TestSetupOnATerminal(t *testing.T) {
	s := newcomer(t)
	fake := modeltest.NewAnthropic(t, modeltest.Answer{Text: "Good day, I am ready."})
	p := onTerminal(t, s.cmd("setup", "--base-url", fake.URL))
	p.shows("Which model shall answer?")
	p.typed("\r") // Claude
	p.shows("The key for anthropic")
	p.typed("sk-ant-wrong-987654321\r")
	p.shows("That did not work")
	p.shows("key was refused")
	p.typed("\r") // ask me again
	p.shows("Which model shall answer?")
	p.typed("\x1b[B\x1b[B\x1b[A\x1b[A\r") // down and up
	p.shows("The key for anthropic")
	p.typed(modeltest.Key + "\r")
	p.shows("That did not work") // the flag's address is asked no more: this key is for the real API
	p.typed("\x03")
	if err := p.ends(); err == nil {
		t.Fatal("it went well")
	}
	if _, err := os.Stat(s.cfg); err == nil {
		t.Error("a file was written by a setup that was stopped")
	}
}
