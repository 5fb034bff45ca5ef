package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestDoctorTable(t *testing.T) {
	var out bytes.Buffer
	d := &doctor{app: &app{stdout: &out}}
	d.add(ok("docker", "answers"), warning("storage", "use overlay2", "vfs"), failure("x", "mend it", errors.New("two\nlines")))
	d.print()
	want := `ok    docker   answers
warn  storage  vfs
               → use overlay2
FAIL  x        two
               lines
               → mend it
`
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
	if err := d.verdict(); err == nil || err.Error() != "doctor: one check failed" {
		t.Errorf("verdict %v", err)
	}
	d.checks = d.checks[:2]
	if err := d.verdict(); err != nil {
		t.Errorf("a warning failed the whole: %v", err)
	}
}

// TestRunnerArch: the image holds the runner alone, so the runner must stand alone.
func TestRunnerArch(t *testing.T) {
	dir := t.TempDir()
	build := func(name string, env ...string) string {
		write(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() {}\n")
		path := filepath.Join(dir, name)
		c := exec.Command("go", "build", "-o", path, filepath.Join(dir, "main.go"))
		c.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return path
	}
	write(t, filepath.Join(dir, "text"), "#!/bin/sh\n")
	programs := []struct{ path, arch, err string }{
		{build("arm64", "GOOS=linux", "GOARCH=arm64"), "arm64", ""},
		{build("amd64", "GOOS=linux", "GOARCH=amd64"), "amd64", ""},
		{build("riscv64", "GOOS=linux", "GOARCH=riscv64"), "", "is built for EM_RISCV"},
		{build("darwin", "GOOS=darwin", "GOARCH=arm64"), "", "is no Linux program"},
		{filepath.Join(dir, "text"), "", "is no Linux program"},
	}
	if runtime.GOOS == "linux" {
		programs = append(programs, struct{ path, arch, err string }{"/bin/sh", "", "is linked dynamically"})
	}
	for _, tc := range programs {
		arch, err := runnerArch(tc.path)
		if arch != tc.arch || tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: %q, %v; want %q, %q", tc.path, arch, err, tc.arch, tc.err)
		}
	}
}
