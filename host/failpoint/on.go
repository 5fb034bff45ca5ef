//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Env is the variable that says where the process dies: "NAME:N" is the Nth time that it is at NAME.
const Env = "NANOCLAW_FAILPOINT"

var (
	where, nth = plan()
	times      atomic.Int64
)

func plan() (string, int64) {
	name, n, _ := strings.Cut(os.Getenv(Env), ":")
	count, err := strconv.ParseInt(n, 10, 64)
	if name != "" && (err != nil || !slices.Contains(Names, name)) {
		panic(Env + " is not NAME:N of a failpoint")
	}
	return name, count
}

// Hit kills the process, with no chance to clean up, if this is where and when it is to die.
func Hit(name string) {
	if name == where && times.Add(1) == nth {
		fmt.Fprintln(os.Stderr, "killed at", name)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
