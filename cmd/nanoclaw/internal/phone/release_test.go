package phone

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A release has nothing of what makes a test binary trust another WhatsApp, and the one of this test
// has, so that this can fail.
func TestReleaseTrustsWhatsAppAlone(t *testing.T) {
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	release := filepath.Join(t.TempDir(), "nanoclaw")
	c := exec.Command("go", "build", "-trimpath", "-o", release, "../..")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for path, want := range map[string]bool{release: false, filepath.Join(dir, "nanoclaw"): true} {
		program, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, trace := range []string{"FAKEWA_ADDR", "hook_fakewa.go", "is no loopback address"} {
			if bytes.Contains(program, []byte(trace)) != want {
				t.Errorf("%s: %q is there: %v", path, trace, !want)
			}
		}
		if bytes.Contains(program, []byte("whatsapp/fakewa.")) {
			t.Errorf("%s: the fake server is linked", path)
		}
	}
}

// The tag nowhatsapp leaves out what is under the GPL, and all else of WhatsApp.
func TestWithoutWhatsApp(t *testing.T) {
	for tags, want := range map[string]bool{"": true, "nowhatsapp": false} {
		out, err := exec.Command("go", "list", "-deps", "-tags", tags, "../..").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if strings.Contains(string(out), "go.mau.fi/libsignal") != want || strings.Contains(string(out), "go.mau.fi/whatsmeow") != want {
			t.Errorf("tags %q: WhatsApp's libraries are linked: %v", tags, !want)
		}
	}
	c := exec.Command("go", "vet", "-tags", "nowhatsapp", "../..", "../../../../host/daemon", "../../../../host/channel/whatsapp")
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
