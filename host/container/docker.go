package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
)

// Bounds on what a daemon that hangs can cost.
const (
	pingTimeout   = 10 * time.Second
	startTimeout  = time.Minute
	removeTimeout = 10 * time.Second
)

// labelPrefix is put before every label; labelInstall says whose a container is, and labelHost
// which process made it.
const (
	labelPrefix  = "nanoclaw."
	labelInstall = labelPrefix + "install"
	labelHost    = labelPrefix + "host"
)

// nobody is the uid and gid of agents whose host is root: never 0.
const nobody = 65532

// DockerConfig is what a Docker engine is made of.
type DockerConfig struct {
	Endpoint  string // "" = as Endpoint finds it
	InstallID string // label of everything this installation makes
	HostID    string // label of everything this process makes
	Runtime   string // OCI runtime; "" = the daemon's default
	UID, GID  int    // inside containers; 0 is replaced by 65532
	Log       hclog.Logger
}

// Docker is the engine that runs agents in containers of a Docker daemon.
type Docker struct {
	cfg  DockerConfig
	api  *client.Client
	url  string
	log  hclog.Logger
	ctx  context.Context // of the event stream
	stop context.CancelFunc

	mu       sync.Mutex
	live     map[string]*live // by ID: those whose events matter
	watching bool
}

var _ host.Engine = (*Docker)(nil)

// NewDocker connects to a daemon and makes sure that it answers.
func NewDocker(ctx context.Context, cfg DockerConfig) (*Docker, error) {
	if cfg.InstallID == "" {
		return nil, fmt.Errorf("%w: a Docker engine needs an install ID", host.ErrInvalid)
	}
	if cfg.UID == 0 || cfg.GID == 0 {
		cfg.UID, cfg.GID = nobody, nobody
	}
	e, err := endpoint{url: cfg.Endpoint, source: "configuration"}, error(nil)
	if e.url == "" {
		if e, err = resolve(); err != nil {
			return nil, err
		}
	}
	opts := []client.Opt{client.WithTLSClientConfigFromEnv(), client.WithHost(e.url), client.WithAPIVersionNegotiation()}
	if e.certs != "" {
		pem := func(name string) string { return filepath.Join(e.certs, name+".pem") }
		opts[0] = client.WithTLSClientConfig(pem("ca"), pem("cert"), pem("key"))
	}
	c, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("%w: docker endpoint %s (from %s): %w", host.ErrInvalid, e.url, e.source, err)
	}
	d := &Docker{cfg: cfg, api: c, url: e.url, log: cfg.Log.Named("container"), live: make(map[string]*live)}
	d.ctx, d.stop = context.WithCancel(context.Background())
	if err := d.Ping(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Ping says whether the daemon answers; the error wraps host.ErrUnavailable when not.
func (d *Docker) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	_, err := d.api.Ping(ctx)
	return d.explain("ping", err)
}

// Info is what a daemon says of itself.
type Info struct {
	Version, APIVersion         string
	Arch                        string // as GOARCH says it
	Storage                     string
	CgroupVersion, CgroupDriver string
	Runtimes                    []string // sorted
	Security                    []string // "name=seccomp,profile=default", …
	Unlimited                   []string // what it cannot limit on its kernel: "memory", "swap", "cpu", "pids"
	Root                        string   // where it keeps images and containers, on its machine
	Clock                       string   // the time there, RFC 3339
}

// Info asks the daemon what it is.
func (d *Docker) Info(ctx context.Context) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	i, err := d.api.Info(ctx)
	if err != nil {
		return Info{}, d.explain("ask what the daemon is", err)
	}
	arch := map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[i.Architecture]
	if arch == "" {
		arch = i.Architecture
	}
	var unlimited []string
	for name, can := range map[string]bool{
		"memory": i.MemoryLimit, "swap": i.SwapLimit, "cpu": i.CPUCfsQuota, "pids": i.PidsLimit,
	} {
		if !can {
			unlimited = append(unlimited, name)
		}
	}
	slices.Sort(unlimited)
	return Info{
		Unlimited: unlimited, Root: i.DockerRootDir, Clock: i.SystemTime,
		Version: i.ServerVersion, APIVersion: d.api.ClientVersion(), Arch: arch, Storage: i.Driver,
		CgroupVersion: i.CgroupVersion, CgroupDriver: i.CgroupDriver,
		Runtimes: slices.Sorted(maps.Keys(i.Runtimes)), Security: i.SecurityOptions,
	}, nil
}

// Path is where the runner sees a bind.
func (d *Docker) Path(b host.Bind) string { return b.Target }

// Isolated is true.
func (d *Docker) Isolated() bool { return true }

// Owner is the uid and gid inside containers.
func (d *Docker) Owner() (uid, gid int) { return d.cfg.UID, d.cfg.GID }

// Reap removes every container of this installation and says how many there were.
func (d *Docker) Reap(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return d.reap(ctx, d.mine())
}

// ReapHost removes what the process with this HostID made.
func (d *Docker) ReapHost(ctx context.Context, id string) (int, error) {
	which := d.mine()
	which.Add("label", labelHost+"="+id)
	return d.reap(ctx, which)
}

func (d *Docker) reap(ctx context.Context, which filters.Args) (int, error) {
	found, err := d.api.ContainerList(ctx, api.ListOptions{All: true, Filters: which})
	if err != nil {
		return 0, d.explain("look for orphans", err)
	}
	for _, c := range found {
		err = errors.Join(err, d.remove(ctx, c.ID))
	}
	return len(found), err
}

// mine selects what carries this installation's label.
func (d *Docker) mine() filters.Args {
	return filters.NewArgs(filters.Arg("label", labelInstall+"="+d.cfg.InstallID))
}

// remove kills and removes a container and waits until it is gone. One that is gone is no error.
func (d *Docker) remove(ctx context.Context, id string) error {
	err := d.api.ContainerRemove(ctx, id, api.RemoveOptions{Force: true, RemoveVolumes: true})
	if errdefs.IsConflict(err) { // it ended by itself and is being removed
		gone, failed := d.api.ContainerWait(ctx, id, api.WaitConditionRemoved)
		select {
		case <-gone:
			return nil
		case err = <-failed:
		}
	}
	if errdefs.IsNotFound(err) {
		return nil
	}
	return d.explain("remove container "+id, err)
}

// Close lets go of the daemon. Containers that still run are not touched.
func (d *Docker) Close() error {
	d.stop()
	return d.api.Close()
}

// explain makes one sentence of a Docker error; a daemon that is down, restarting or hanging
// is host.ErrUnavailable.
func (d *Docker) explain(what string, err error) error {
	var dial *net.OpError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("docker: %s: %w", what, err)
	case errors.As(err, &dial), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: docker daemon at %s does not answer: %s: %w", host.ErrUnavailable, d.url, what, err)
	case client.IsErrConnectionFailed(err):
		return fmt.Errorf("%w: docker daemon at %s does not answer: is it running?", host.ErrUnavailable, d.url)
	}
	return fmt.Errorf("docker: %s: %w", what, err)
}
