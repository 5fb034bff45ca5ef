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
	return s
}

// TestSetupOnATerminal: the real program, real key presses, a wrong key first, and a first reply. The
// key is nowhere to be seen.
func TestSetupOnATerminal(t *testing.T) {
	s := newcomer(t)
	fake := modeltest.NewAnthropic(t, modeltest.Answer{Text: "Good day, I am ready."})
	p := onTerminal(t, s.cmd("setup", "--base-url", fake.URL))
	all := &p.all
	p.shows("Which model shall answer?")
	p.settled()
	p.typed("\r") // Claude
	p.shows("The key for anthropic")
	p.settled()
	p.typed("sk-ant-wrong-987654321\r")
	p.shows("That did not work")
	p.shows("key was refused")
	p.settled()
	p.typed("\r") // ask me again
	p.shows("Which model shall answer?")
	p.settled()
	p.typed("\x1b[B\x1b[B\x1b[A\x1b[A\r") // down and up
	p.shows("The key for anthropic")
	p.settled()
	p.typed(modeltest.Key + "\r")
	p.shows("It answers.")
	p.shows("What is the assistant called?")
	p.settled()
	p.typed("\x15Bo\r") // Ctrl-U, as in every line editor
	p.shows("as shipped")
	p.shows("+name = \"Bo\"")
	p.shows("Pair WhatsApp now?")
	p.settled()
	p.typed("\r") // no
	p.shows("Install it as a service?")
	p.settled()
	p.typed("\r") // no
	p.shows("you> Hello! What can you do?")
	p.shows("Good day, I am ready.")
	p.shows("That is all.")
	if err := p.ends(); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(s.cfg, config.Overrides{StateDir: s.state})
	if err != nil || cfg.Assistant.Name != "Bo" || cfg.Providers["anthropic"].Secret != "anthropic" {
		t.Fatalf("%v %+v", err, cfg)
	}
	stored := host.SecretFile(s.state, "anthropic")
	st, err := os.Stat(stored)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v %v", st, err)
	}
	if b, _ := os.ReadFile(stored); string(b) != modeltest.Key {
		t.Errorf("stored %q", b)
	}
	text, err := os.ReadFile(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{modeltest.Key, "sk-ant-wrong"} {
		if strings.Contains(all.String()+string(text), key) {
			t.Errorf("the key %s is shown, or stands in the file", key)
		}
	}
}

// TestSetupStopped: Ctrl-C at a question leaves nothing behind, and says how to go on.
func TestSetupStopped(t *testing.T) {
	s := newcomer(t)
	p := onTerminal(t, s.cmd("setup"))
	p.shows("Which model shall answer?")
	p.settled()
	p.typed("\x03")
	p.shows("stopped by you")
	p.shows("can be run again")
	if err := p.ends(); err == nil {
		t.Error("exit 0")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(s.cfg), "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestSetupUnattended: from nothing to the first reply by one command, with a key and without, and
// again on what is there.
func TestSetupUnattended(t *testing.T) {
	s := newcomer(t)
	out, err := s.cmd("setup").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "no terminal to ask on; say --yes") {
		t.Fatalf("without a terminal: %v: %s", err, out)
	}
	for range 2 {
		out, err = s.cmd("setup", "--yes").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "you> what is 6*7\n42\n") {
			t.Fatalf("offline: %v: %s", err, out)
		}
	}
	fake := modeltest.NewOpenAI(t, modeltest.Answer{Text: "Ready when you are."})
	s.env = append(s.env, "MY_KEY="+modeltest.Key)
	args := []string{"setup", "--yes", "--provider=other", "--base-url=" + fake.URL, "--model=m", "--key-from-env=MY_KEY"}
	out, err = s.cmd(args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "+base_url = ") || !strings.Contains(string(out), "--write=yes agrees") {
		t.Fatalf("a file that is there: %v: %s", err, out)
	}
	out, err = s.cmd(append(args, "--write=yes")...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\nReady when you are.\n") || strings.Contains(string(out), modeltest.Key) {
		t.Fatalf("with a server: %v: %s", err, out)
	}
	fake.Script(modeltest.Answer{Status: 404, Message: "no such model"})
	out, err = s.cmd("setup", "--yes").CombinedOutput()
	if err == nil || !strings.Contains(string(out), `setup, model: not found: server does not know model "m"`) ||
		!strings.Contains(string(out), "--provider=offline") {
		t.Fatalf("a model that is gone: %v: %s", err, out)
	}
}

// TestSetupWithoutDocker: says so, and how to go on.
func TestSetupWithoutDocker(t *testing.T) {
	s := newcomer(t)
	s.env = append(s.env, "DOCKER_HOST=unix:///nowhere/docker.sock")
	out, err := s.cmd("setup", "--yes").CombinedOutput()
	for _, want := range []string{"Docker does not answer", "setup, docker: ", "start that daemon or point elsewhere", "doctor --fix"} {
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %s; want %q", err, out, want)
		}
	}
}

// TestSetupSkill: the SKILL.md names no command and no flag that this program does not have.
func TestSetupSkill(t *testing.T) {
	code, out, stderr := runCommand("setup", "--print-skill")
	if code != exitOK || !strings.HasPrefix(out, "---\nname: nanoclaw-setup\ndescription: ") {
		t.Fatal(code, out, stderr)
	}
	checkCommands(t, out)
}

var command = regexp.MustCompile(`(?:bin/)?nanoclaw((?: [a-z][a-z-]*)+)((?: --?[a-z-]+(?:=\S+)?)*)`)

// checkCommands finds what looks like a command line of this program in a text.
func checkCommands(t *testing.T, text string) {
	t.Helper()
	root, n := (&app{}).rootCmd(), 0
	for _, m := range command.FindAllStringSubmatch(text, -1) {
		c, rest, err := root.Find(strings.Fields(m[1]))
		if err != nil || c == root || c.HasSubCommands() && len(rest) > 0 {
			t.Errorf("%q is no command", m[0])
			continue
		}
		n++
		for _, flag := range strings.Fields(m[2]) {
			name, _, _ := strings.Cut(strings.TrimLeft(flag, "-"), "=")
			if c.Flags().Lookup(name) == nil && c.InheritedFlags().Lookup(name) == nil {
				t.Errorf("%q: %s has no flag %s", m[0], c.CommandPath(), name)
			}
		}
	}
	if n < 5 {
		t.Errorf("%d commands found, which is too few", n)
	}
}

// TestHasCommand is the seam for commands that come later.
func TestHasCommand(t *testing.T) {
	root := &cobra.Command{Use: "x"}
	channel := &cobra.Command{Use: "channel"}
	channel.AddCommand(&cobra.Command{Use: "add NAME"})
	root.AddCommand(channel)
	for path, want := range map[string]bool{"channel add": true, "channel": true, "channel rm": false, "sandbox": false} {
		if has(root, strings.Fields(path)) != want {
			t.Errorf("%s: want %v", path, want)
		}
	}
	if !has((&app{}).rootCmd(), []string{"service", "install"}) || len(wizard.Flags) == 0 {
		t.Error("'nanoclaw service install' is gone, which setup runs")
	}
}
