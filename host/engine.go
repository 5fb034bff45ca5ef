package host

import (
	"context"
	"io"
	"time"
)

// Spec is one container to start. An Engine adds the hardening of DESIGN section 9 by itself.
type Spec struct {
	Image   string            // image ID ("sha256:…") of the agent image
	Args    []string          // arguments of the runner
	Binds   []Bind            //
	Limits  Limits            // Memory, CPUs, PIDs
	Runtime string            // OCI runtime; "" = the engine's default
	Labels  map[string]string // agent, turn; the install label is the engine's own
}

// Bind mounts a host directory.
type Bind struct {
	Source, Target string
	Write          bool
}

// Engine runs containers. host/container has two: Docker, and the runner as a bare
// subprocess for machines without Docker.
type Engine interface {
	// Start creates, attaches and starts. The container is killed when ctx ends before
	// Start returns, not after.
	Start(ctx context.Context, s Spec) (Container, error)
	// Path is where the runner sees a bind: its target, or its source when nothing is mounted.
	Path(b Bind) string
	// Isolated is false when agents are not in containers.
	Isolated() bool
	// Reap removes what an earlier host process of this installation left behind.
	Reap(ctx context.Context) (int, error)
	// Owner is the uid and gid that directories mounted writable must belong to.
	Owner() (uid, gid int)
	Close() error
}

// Container is one started container. Its stdin and stdout are the wire.
type Container interface {
	ID() string
	io.ReadWriteCloser // stdout and stdin; Close kills and removes, bounded in time, and is safe to repeat
	// Done is closed when the container is gone; Exit says how, afterwards.
	Done() <-chan struct{}
	Exit() Exit
}

// Exit says how a container ended.
type Exit struct {
	Code int
	OOM  bool
	Log  string // last lines of stderr, bounded, hostile
	Ran  time.Duration
}
