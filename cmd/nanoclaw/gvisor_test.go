package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRoleOnGVisor: roles on gVisor and roles on runc in one host. Skills are compiled for both, so
// that no turn of either compiles.
func TestRoleOnGVisor(t *testing.T) {
	if testRuntime != gVisor {
		t.Skip("make test-gvisor runs it: the daemon may not know gVisor")
	}
	i := installed(t)
	s := newSite(t, i.config("runtime = \"runc\"\n")+`
[roles.boxed]
description = "runs on gVisor"
prompt = "Answer."
runtime = "runsc"
skills = ["notes", "calc"]
[[routes]]
channel = "console"
chat = "boxed"
role = "boxed"
`)
	s.start()
	ask := func(chat, line string) string {
		t.Helper()
		c := s.cmd("chat", "--chat", chat)
		c.Stdin = strings.NewReader(line + "\n")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", chat, err, out)
		}
		return string(out)
	}
	for chat, want := range map[string]string{"default": "runc", "boxed": gVisor} {
		if got := ask(chat, "/calc 6*7"); !strings.Contains(got, "42") {
			t.Errorf("%s said %q", chat, got)
		}
		ask(chat, "remember that the moon is new")
		if got := ask(chat, "list my notes"); !strings.Contains(got, "the moon is new") {
			t.Errorf("%s has no notes: %q", chat, got)
		}
		eventually(t, time.Minute, "a spare on "+want, func() bool {
			for _, id := range s.containers() {
				out, _ := exec.Command("docker", "inspect", "-f", "{{.HostConfig.Runtime}}", id).Output()
				if strings.TrimSpace(string(out)) == want {
					return true
				}
			}
			return false
		})
	}
	// Each digest has one admitted form, with compiled code for every set of CPU features that the
	// two runtimes show: a turn finds its own, or it would take as long as compiling does.
	forms, err := filepath.Glob(filepath.Join(s.state, "admitted", "*", "cache"))
	if err != nil || len(forms) == 0 {
		t.Fatalf("no admitted skills: %v", err)
	}
	out, err := s.cmd("skill", "call", filepath.Join(i.plugins, "calc.wasm"), "calc", `{"expression":"6*7"}`, "--runtime", gVisor).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "42") {
		t.Errorf("skill call on gVisor: %v: %s", err, out)
	}
}
