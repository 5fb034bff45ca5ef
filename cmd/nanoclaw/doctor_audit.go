package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/daemon"
)

// stateNA is of a check that this container or this machine has nothing for.
const stateNA = "n/a"

// subject is a live agent container, as docker inspect, /proc and InspectDrift show it. Nothing
// of it is what was asked for.
type subject struct {
	drift    []string
	security string            // of the daemon
	status   map[string]string // of the container's process; empty when it is another machine's

	AppArmorProfile, ProcessLabel string

	State           struct{ Pid int }
	Mounts          []struct{ Source, Destination, Propagation string }
	NetworkSettings struct{ Networks map[string]any }
}

// benchRow is a check of section 5 of docker-bench-security. It fails when one of fields drifts;
// otherwise look, where there is one, says how it is. Checks that are missing are of what is not
// there: sshd, ports, docker exec, image tags.
type benchRow struct {
	name, fields string
	look         func(*subject) check
}

const noCaps = "0000000000000000"

var bench = []benchRow{
	{"5.1 AppArmor", "", func(s *subject) check { return s.label("apparmor", s.AppArmorProfile) }},
	{"5.2 SELinux", "", func(s *subject) check { return s.label("selinux", s.ProcessLabel) }},
	{"5.3 capabilities", "CapAdd CapDrop", func(s *subject) check {
		return s.process(true, "CapInh "+noCaps, "CapPrm "+noCaps, "CapEff "+noCaps, "CapBnd "+noCaps, "CapAmb "+noCaps)
	}},
	{"5.4 privileged", "Privileged", nil},
	{"5.5, 5.31 mounts", "Binds VolumesFrom", (*subject).directories},
	{"5.7, 5.8 ports", "PortBindings PublishAllPorts ExposedPorts", nil},
	{"5.9 host's network", "NetworkMode Links", nil},
	{"5.10 memory", "Memory MemorySwap OomKillDisable invalid:", nil},
	{"5.11 CPU", "NanoCpus CpuShares CpuQuota invalid:", nil},
	{"5.12 read-only root", "ReadonlyRootfs", nil},
	{"5.14 restart", "RestartPolicy AutoRemove", nil},
	{"5.15, 5.16, 5.20 host's processes, IPC, UTS", "PidMode IpcMode UTSMode", nil},
	{"5.17 devices", "Devices DeviceRequests DeviceCgroupRules", nil},
	{"5.18 ulimits", "Ulimits", nil},
	{"5.19 mount propagation", "Mounts", nil},
	{"5.21 seccomp", "SecurityOpt the", func(s *subject) check { return s.process(false, "Seccomp 2") }},
	{"5.24 cgroup", "CgroupParent CgroupnsMode Cgroup", nil},
	{"5.25 no new privileges", "SecurityOpt", func(s *subject) check { return s.process(false, "NoNewPrivs 1") }},
	{"5.26 health check", "Healthcheck", func(*subject) check {
		return check{State: stateNA, Detail: "the host sees the end of a container on its wire"}
	}},
	{"5.28 processes", "PidsLimit invalid:", nil},
	{"5.29 docker0", "", func(s *subject) check {
		if _, none := s.NetworkSettings.Networks["none"]; !none || len(s.NetworkSettings.Networks) != 1 {
			return failure("", "", fmt.Errorf("it is in the networks %v", s.NetworkSettings.Networks))
		}
		return ok("", "in no network")
	}},
	{"5.30 user namespace", "UsernsMode", func(s *subject) check {
		if strings.Contains(s.security, "name=userns") || strings.Contains(s.security, "name=rootless") {
			return ok("", "mapped by the daemon")
		}
		return warning("", "", "the daemon maps none; the agent's user is never 0 (see user)")
	}},
	{"user", "User GroupAdd", func(s *subject) check {
		if strings.HasPrefix(s.status["Uid"], "0 ") {
			return failure("", "", errors.New("it runs as root"))
		}
		return s.process(true)
	}},
}

// label is a check of a security module that not every kernel has.
func (s *subject) label(module, label string) check {
	switch {
	case !strings.Contains(s.security, "name="+module):
		return check{State: stateNA, Detail: "not in this kernel, or not used by the daemon"}
	case label == "" || label == "unconfined":
		return failure("", "", fmt.Errorf("the container has no %s profile", module))
	}
	return ok("", "%s", label)
}

// process compares lines of the process's status. Where a sandbox such as gVisor stands between, it
// is the sandbox's, whose user and capabilities say nothing of the agent's.
func (s *subject) process(agents bool, want ...string) check {
	if name := s.status["Name"]; name == "" || agents && name != "runner" {
		return ok("", "by docker inspect; no process of it is visible in /proc")
	}
	for _, line := range want {
		if key, value, _ := strings.Cut(line, " "); s.status[key] != value {
			return failure("", "", fmt.Errorf("%s of the live process is %q, must be %q", key, s.status[key], value))
		}
	}
	return ok("", "process %d, user %.5s", s.State.Pid, s.status["Uid"])
}

// directories looks at what a role's mounts reach, and for sockets, docker's among them.
func (s *subject) directories() check {
	system := strings.Fields("/ /boot /dev /etc /lib /proc /sys /usr /run /var/run /var/lib/docker")
	for _, m := range s.Mounts {
		st, err := os.Stat(m.Source)
		if slices.Contains(system, m.Source) || err == nil && st.Mode()&os.ModeSocket != 0 {
			return failure("", "", fmt.Errorf("%s is mounted at %s", m.Source, m.Destination))
		}
	}
	return ok("", "%d mounts", len(s.Mounts))
}

// bench checks s, and everything of the design's list that no row is about.
func (s *subject) bench() (checks []check) {
	for _, row := range bench {
		c := ok("", "as listed")
		if row.look != nil {
			c = row.look(s)
		}
		for _, sentence := range s.drift {
			field, _, _ := strings.Cut(sentence, " ")
			if slices.Contains(strings.Fields(row.fields), field) {
				c = failure("", "", errors.New(sentence))
			}
		}
		c.Name = row.name
		checks = append(checks, c)
	}
	if len(s.drift) == 0 {
		return append(checks, ok("design's list", "every setting as listed"))
	}
	return append(checks, failure("design's list", "", errors.New(strings.Join(s.drift, "\n"))))
}

// inspect starts a container as a turn of the role would, and looks at it.
func (d *doctor) inspect(ctx context.Context, e *daemon.Engine, role *host.Role) (s *subject, err error) {
	spec := host.Spec{
		Image: e.Image, Args: []string{"serve"}, Limits: role.Limits, Runtime: role.Runtime,
		Labels: map[string]string{"agent": "doctor"},
	}
	for _, m := range role.Mounts {
		spec.Binds = append(spec.Binds, host.Bind{Source: m.Path, Target: "/mnt/" + m.Name, Write: m.Write})
	}
	c, err := e.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	s = &subject{security: strings.Join(d.info.Security, " "), status: map[string]string{}}
	if s.drift, err = e.Docker.InspectDrift(ctx, c.ID()); err != nil {
		return nil, err
	}
	raw, err := e.Docker.Inspect(ctx, c.ID())
	if err == nil {
		err = json.Unmarshal(raw, s)
	}
	proc := fmt.Sprintf("/proc/%d/", s.State.Pid)
	if cgroup, no := os.ReadFile(proc + "cgroup"); no == nil && strings.Contains(string(cgroup), c.ID()) {
		status, _ := os.ReadFile(proc + "status")
		for line := range strings.Lines(string(status)) {
			key, value, _ := strings.Cut(line, ":")
			s.status[key] = strings.Join(strings.Fields(value), " ")
		}
	}
	return s, err
}

// auditContainer starts a container of each role and checks it. Of roles after the first it tells
// what is different.
func (d *doctor) auditContainer(ctx context.Context) {
	d.checkConfig()
	d.checkRunner()
	if d.verdict() != nil || d.cfg.Engine.Runtime == daemon.RuntimeNone || !d.checkDocker(ctx) {
		d.add(failure("container", "", errors.New("there is none to audit")))
		return
	}
	defer d.docker.Close()
	d.checks = nil
	d.withEngine(ctx, func(ctx context.Context, e *daemon.Engine) {
		for i, name := range slices.Sorted(maps.Keys(d.cfg.Roles)) {
			s, err := d.inspect(ctx, e, d.cfg.Roles[name])
			if err != nil {
				d.add(failure(string(name), "", err))
				return
			}
			for j, c := range s.bench() {
				if i == 0 {
					d.add(c)
				} else if c.State == stateFailure || c.State != d.checks[j].State {
					c.Name += " of " + string(name)
					d.add(c)
				}
			}
		}
	})
}

// score counts the checks by state.
func (d *doctor) score() string {
	n := map[string]int{}
	for _, c := range d.checks {
		n[c.State]++
	}
	return fmt.Sprintf("%d ok, %d warnings, %d n/a, %d failures", n[stateOK], n[stateWarning], n[stateNA], n[stateFailure])
}
