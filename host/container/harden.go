package container

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	api "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/nanoclaw/nanoclaw/host"
)

const tmpOptions = "rw,noexec,nosuid,nodev,size=64m,mode=1777"

// seccompProfile is Docker's newest, for every engine, without what its capabilities would open
// and without sockets that no network namespace holds (AF_VSOCK reaches what runs this machine).
//
//go:embed seccomp.json
var seccompProfile string

// harden is the list of DESIGN section 9.
func (d *Docker) harden(s host.Spec) (*api.Config, *api.HostConfig) {
	labels := map[string]string{}
	for k, v := range s.Labels {
		labels[labelPrefix+k] = v
	}
	labels[labelInstall], labels[labelHost] = d.cfg.InstallID, d.cfg.HostID
	no := false
	config := &api.Config{
		Image: s.Image, Entrypoint: []string{"/runner"}, Cmd: s.Args, WorkingDir: "/", Env: []string{"PATH=/"},
		Labels: labels, User: fmt.Sprintf("%d:%d", d.cfg.UID, d.cfg.GID),
		OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, AttachStderr: true,
		Healthcheck: &api.HealthConfig{Test: []string{"NONE"}},
	}
	hostConfig := &api.HostConfig{
		NetworkMode: "none", IpcMode: api.IPCModePrivate, CgroupnsMode: api.CgroupnsModePrivate, ShmSize: 1 << 20,
		ReadonlyRootfs: true, Tmpfs: map[string]string{"/tmp": tmpOptions}, Mounts: mounts(s.Binds),
		CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges", "seccomp=" + seccompProfile},
		Runtime:    cmp.Or(s.Runtime, d.cfg.Runtime),
		LogConfig:  api.LogConfig{Type: "none", Config: map[string]string{}},
		AutoRemove: true, Init: &no, RestartPolicy: api.RestartPolicy{Name: "no"},
		Resources: api.Resources{
			PidsLimit: &s.Limits.PIDs, NanoCPUs: int64(s.Limits.CPUs * 1e9),
			Memory: s.Limits.Memory, MemorySwap: s.Limits.Memory,
			Ulimits: []*api.Ulimit{{Name: "nofile", Soft: 1024, Hard: 1024}, {Name: "core"}},
		},
	}
	return config, hostConfig
}

// mounts never makes a missing source. no-new-privileges is what makes setuid files in
// them harmless: Docker has no nosuid for binds.
func mounts(binds []host.Bind) (out []mount.Mount) {
	for _, b := range binds {
		out = append(out, mount.Mount{
			Type: mount.TypeBind, Source: b.Source, Target: b.Target, ReadOnly: !b.Write,
			BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate, NonRecursive: !b.Write},
		})
	}
	return out
}

// checkLimits refuses what Docker would take for "no limit".
func checkLimits(l host.Limits) error {
	if l.Memory <= 0 || l.PIDs <= 0 || l.CPUs <= 0 {
		return fmt.Errorf("%w: a container without limits on memory, CPUs and processes: %+v", host.ErrInvalid, l)
	}
	return nil
}

// InspectDrift compares a live container with what harden would ask for, every field of it:
// one sentence for each that differs.
func (d *Docker) InspectDrift(ctx context.Context, id string) ([]string, error) {
	c, err := d.api.ContainerInspect(ctx, id)
	if err != nil {
		return nil, d.explain("inspect container "+id, err)
	}
	info, err := d.Info(ctx)
	if err != nil {
		return nil, err
	}
	spec := specOf(c.Config, c.HostConfig)
	config, hostConfig := d.harden(spec)
	drift := append(differences(config, c.Config), differences(hostConfig, c.HostConfig)...)
	if err := checkLimits(spec.Limits); err != nil {
		drift = append(drift, err.Error())
	}
	if len(c.HostConfig.MaskedPaths) == 0 || len(c.HostConfig.ReadonlyPaths) == 0 {
		drift = append(drift, "MaskedPaths and ReadonlyPaths of /proc and /sys are empty, must be Docker's own")
	}
	if !slices.ContainsFunc(info.Security, func(s string) bool {
		return strings.HasPrefix(s, "name=seccomp") && !strings.Contains(s, "unconfined")
	}) {
		drift = append(drift, "the daemon applies no seccomp profile")
	}
	return drift, nil
}

// Inspect is what the daemon says of a container, as its JSON has it.
func (d *Docker) Inspect(ctx context.Context, id string) ([]byte, error) {
	_, raw, err := d.api.ContainerInspectWithRaw(ctx, id, false)
	return raw, d.explain("inspect container "+id, err)
}

// specOf is what a container may differ in: its image, arguments, binds, limits, runtime and labels.
func specOf(c *api.Config, h *api.HostConfig) host.Spec {
	s := host.Spec{Image: c.Image, Args: c.Cmd, Runtime: h.Runtime, Labels: map[string]string{}}
	s.Limits.Memory, s.Limits.CPUs = h.Memory, float64(h.NanoCPUs)/1e9
	if h.PidsLimit != nil {
		s.Limits.PIDs = *h.PidsLimit
	}
	for _, m := range h.Mounts {
		s.Binds = append(s.Binds, host.Bind{Source: m.Source, Target: m.Target, Write: !m.ReadOnly})
	}
	for k, v := range c.Labels {
		s.Labels[strings.TrimPrefix(k, labelPrefix)] = v
	}
	return s
}

// chosenByDaemon are fields that every container gets from it.
var chosenByDaemon = []string{"Hostname", "MaskedPaths", "ReadonlyPaths"}

func differences(want, got any) (out []string) {
	w, g := fields(want), fields(got)
	names := maps.Clone(w)
	maps.Copy(names, g)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		same := reflect.DeepEqual(w[name], g[name]) || empty(w[name]) && empty(g[name])
		if !same && !slices.Contains(chosenByDaemon, name) {
			out = append(out, fmt.Sprintf("%s is %.99s, must be %.99s", name, fmt.Sprint(g[name]), fmt.Sprint(w[name])))
		}
	}
	return out
}

// fields is v as its JSON has it.
func fields(v any) (m map[string]any) {
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return map[string]any{"JSON": err.Error()}
	}
	return m
}

// empty reports whether v says as much as null does.
func empty(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return len(v) == 0
	case []any:
		return !slices.ContainsFunc(v, func(e any) bool { return !empty(e) })
	}
	return v == nil || v == "" || v == false || v == 0.0
}
