package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
)

// hardened is what a container as it must be looks like on a machine that has everything.
func hardened() *subject {
	s := &subject{
		security: "name=apparmor name=seccomp,profile=default name=selinux name=userns",
		status: map[string]string{
			"Name": "runner", "Uid": "1000 1000 1000 1000", "Seccomp": "2", "NoNewPrivs": "1",
			"CapInh": noCaps, "CapPrm": noCaps, "CapEff": noCaps, "CapBnd": noCaps, "CapAmb": noCaps,
		},
		AppArmorProfile: "docker-default", ProcessLabel: "container_t",
	}
	s.NetworkSettings.Networks = map[string]any{"none": nil}
	return s
}

// TestBench weakens one thing after the other: the row that is about it must fail, and no other
// but the design's list.
func TestBench(t *testing.T) {
	mount := func(source string) func(*subject) {
		return func(s *subject) {
			s.Mounts = append(s.Mounts, struct{ Source, Destination, Propagation string }{source, "/mnt/x", "rprivate"})
		}
	}
	drift := func(sentence string) func(*subject) { return func(s *subject) { s.drift = append(s.drift, sentence) } }
	for _, tc := range []struct {
		row    string
		weaken func(*subject)
	}{
		{"", func(*subject) {}},
		{"", mount("/home/u/notes")},
		{"5.1 ", func(s *subject) { s.AppArmorProfile = "unconfined" }},
		{"5.2 ", func(s *subject) { s.ProcessLabel = "" }},
		{"5.3 ", func(s *subject) { s.status["CapBnd"] = "00000000a80425fb" }},
		{"5.3 ", drift("CapAdd is [NET_RAW], must be []")},
		{"5.4 ", drift("Privileged is true, must be false")},
		{"5.5, 5.31 ", mount("/etc")},
		{"5.5, 5.31 ", mount("/var/run/docker.sock")},
		{"5.9 ", drift("NetworkMode is host, must be none")},
		{"5.10 ", drift("MemorySwap is -1, must be 1")},
		{"5.12 ", drift("ReadonlyRootfs is false, must be true")},
		{"5.15, ", drift("PidMode is host, must be ")},
		{"5.21 ", func(s *subject) { s.status["Seccomp"] = "0" }},
		{"5.21 ", drift("the daemon applies no seccomp profile")},
		{"5.25 ", func(s *subject) { s.status["NoNewPrivs"] = "0" }},
		{"5.28 ", drift("PidsLimit is 0, must be 128")},
		{"5.29 ", func(s *subject) { s.NetworkSettings.Networks["bridge"] = nil }},
		{"user", func(s *subject) { s.status["Uid"] = "0 0 0 0" }},
		{"design's list", drift("AttachStdin is false, must be true")},
	} {
		s := hardened()
		tc.weaken(s)
		for _, c := range s.bench() {
			wanted := tc.row != "" && strings.HasPrefix(c.Name, tc.row)
			if c.Name != "design's list" || tc.row == "" || wanted {
				if failed := c.State == stateFailure; failed != wanted {
					t.Errorf("weakened %q: %s is %s: %s", tc.row, c.Name, c.State, c.Detail)
				}
			}
		}
	}
	s := hardened() // gVisor: the process is the sandbox's
	s.status["Name"], s.status["CapEff"] = "exe", "0000000000240000"
	for _, c := range s.bench() {
		if c.State == stateFailure {
			t.Errorf("in a sandbox: %s: %s", c.Name, c.Detail)
		}
	}
}

// TestBenchFields: a row is about fields that InspectDrift can name.
func TestBenchFields(t *testing.T) {
	known := map[string]bool{"invalid:": true, "the": true}
	for _, v := range []any{container.Config{}, container.HostConfig{}} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			known[cmp.Or(name, f.Name)] = true
		}
	}
	for _, row := range bench {
		for _, f := range strings.Fields(row.fields) {
			if !known[f] {
				t.Errorf("%s: no field is called %s", row.name, f)
			}
		}
	}
}

// TestAuditContainer runs it on live containers.
func TestAuditContainer(t *testing.T) {
	i := installed(t)
	shipped := i.config("")
	audit := func(config string) (checks map[string]check, code int) {
		out, err := newSite(t, config).cmd("doctor", "--audit-container", "--json").Output()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		var all struct{ Checks []check }
		if err := json.Unmarshal(out, &all); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		checks = map[string]check{}
		for _, c := range all.Checks {
			checks[c.Name] = c
			if code == 0 && c.State == stateFailure {
				t.Errorf("%s: %s", c.Name, c.Detail)
			}
		}
		return checks, code
	}
	checks, code := audit(shipped)
	if code != 0 || len(checks) != len(bench)+1 || testRuntime == "" && !strings.Contains(checks["5.3 capabilities"].Detail, "process ") {
		t.Errorf("as shipped: exit code %d, %+v", code, checks)
	}
	dir := t.TempDir()
	mounted := fmt.Sprintf("[roles.main]\nmounts = [ { path = %q } ]\n", dir)
	allowed := strings.Replace(shipped, "[mounts]\n", fmt.Sprintf("[mounts]\nallow = [%q]\n", dir), 1)
	checks, code = audit(strings.Replace(allowed, "[roles.main]\n", mounted, 1))
	if c := checks["5.5, 5.31 mounts"]; code != 0 || c.State != stateOK || c.Detail != "1 mounts" {
		t.Errorf("with a mount: exit code %d, %+v", code, c)
	}
	checks, code = audit(strings.Replace(shipped, "[roles.main]\n", "[roles.main]\nruntime = \"nosuch\"\n", 1))
	if c := checks["image"]; code == 0 || c.State != stateFailure || !strings.Contains(c.Detail, `"nosuch"`) {
		t.Errorf("with a runtime that is not there: exit code %d, %+v", code, checks)
	}
}
