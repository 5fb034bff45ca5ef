package main

import (
	"os/exec"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"
)

func reapOrphan(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("sh", "-c", "(sleep 0.1) & exit 0").Run(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if reap(hclog.NewNullLogger()) == 1 {
			return
		}
	}
	t.Fatal("the orphan was never reaped")
}
