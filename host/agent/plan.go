package agent

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Where a runner finds things.
const (
	workspaceDir = "/workspace"
	skillsDir    = "/skills"
	mountsDir    = "/mnt"
	runnerFile   = "/runner" // what host/container starts
)

// What a skill gets whose manifest does not say, and the most it may ask for.
const (
	defaultMemoryMiB, maxMemoryMiB = 64, 512
	defaultCallMS, maxCallMS       = 30_000, 300_000
)

// plan is everything that a container of one agent is started with. Two plans with the same
// key can use each other's container.
type plan struct {
	agent     host.AgentID
	key       string
	once      bool   // for one tool call, or with directories of its own: no spare
	keep      bool   // the container becomes the spare of the next turn
	workspace string // on the host; "" when no skill has files
	spec      host.Spec
	load      wire.Load
	leftOut   []host.SkillName
}

// plan works out what the job's container holds, and makes the directories.
func (m *Manager) plan(j Job, turn bool) (*plan, error) {
	role := j.Scope.Role
	p := &plan{
		agent: j.Scope.Agent.ID, once: !turn || j.Workspace != "" || j.FS != nil,
		spec: host.Spec{Image: m.cfg.Image, Args: []string{"serve"}, Limits: role.Limits, Runtime: role.Runtime},
		load: wire.Load{Agent: string(j.Scope.Agent.ID), Quota: role.Limits.Workspace, Timezone: m.cfg.Timezone},
	}
	names := role.Skills
	if turn && role.Exec != nil {
		if err := m.addProgram(j, p); err != nil {
			return nil, err
		}
	} else if turn {
		p.load.Brain = string(j.Scope.Brain)
		names = append([]host.SkillName{j.Scope.Brain}, names...)
	}
	for _, name := range names {
		k := j.Scope.Skills[name]
		if k == nil || k.Manifest.Kind == host.KindText {
			continue
		}
		if err := m.addSkill(j, p, name, k); err != nil {
			return nil, err
		}
	}
	if p.load.Exec == nil && (len(p.load.Skills) == 0 || turn && p.load.Skills[0].Name != p.load.Brain) {
		return nil, fmt.Errorf("%w: role %s does not grant what its skill %q needs", host.ErrDenied, role.Name, j.Scope.Brain)
	}
	b, err := json.Marshal([]any{p.spec, p.load, p.keep})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	p.key = hex.EncodeToString(sum[:])
	return p, nil
}

// addProgram makes the container one of the program's image. The runner is put into it; the program
// sees the whole workspace and the role's mounts.
func (m *Manager) addProgram(j Job, p *plan) error {
	e := j.Scope.Role.Exec
	p.keep = e.Keep && !p.once
	if err := m.workspace(j, p, "."); err != nil {
		return err
	}
	if _, err := m.addMounts(j.Scope.Role.Mounts, p, false); err != nil {
		return err
	}
	p.spec.Image = j.Image
	p.bind(m, m.cfg.Runner, runnerFile, false)
	p.load.Exec = &wire.Exec{
		Preset: e.Preset, Command: e.Command, Model: j.Model, Bypass: e.Bypass,
		Dir: p.bind(m, p.workspace, workspaceDir, true),
	}
	return nil
}

func (m *Manager) addSkill(j Job, p *plan, name host.SkillName, k *host.Skill) error {
	e := host.Grants(j.Scope.Role, &k.Manifest)
	if len(e.Missing) > 0 {
		p.leftOut = append(p.leftOut, name)
		return nil
	}
	limits := k.Manifest.Limits
	s := wire.LoadSkill{
		Name: string(name), Digest: string(k.Digest), Adapter: k.Manifest.Adapter, Tools: k.Manifest.Tools,
		Dir:     p.bind(m, k.Dir, path.Join(skillsDir, strings.TrimPrefix(string(k.Digest), "sha256:")), false),
		Granted: strs(e.Granted), Stubbed: strs(e.Stubbed), Settings: j.Scope.Role.Settings[name],
		MemoryMiB: min(cmp.Or(limits.MemoryMiB, defaultMemoryMiB), maxMemoryMiB),
		TimeoutMS: min(cmp.Or(limits.TimeoutMS, defaultCallMS), maxCallMS),
	}
	if e.Has(host.CapFS) {
		if err := m.addFiles(j, p, &s, k); err != nil {
			return fmt.Errorf("files of skill %s: %w", name, err)
		}
	}
	p.load.Skills = append(p.load.Skills, s)
	return nil
}

// addFiles gives a skill its part of the workspace and the role's mounts, or exactly what
// the job says.
func (m *Manager) addFiles(j Job, p *plan, s *wire.LoadSkill, k *host.Skill) error {
	need, _ := k.Manifest.Need(host.CapFS)
	readOnly := need.Mode == "ro"
	wanted := []wire.Preopen{{Guest: path.Join(workspaceDir, need.Path), ReadOnly: readOnly}}
	mounts := j.Scope.Role.Mounts
	if j.FS != nil {
		wanted, mounts = j.FS[k.Manifest.Name], nil
	}
	for _, w := range wanted {
		rel, err := filepath.Rel(workspaceDir, w.Guest)
		if err == nil {
			err = host.CheckWorkspacePath(filepath.ToSlash(rel))
		}
		if err == nil {
			err = m.workspace(j, p, rel)
		}
		if err != nil {
			return err
		}
		w.Path = path.Join(p.bind(m, p.workspace, workspaceDir, !w.ReadOnly), rel)
		s.Preopens = append(s.Preopens, w)
	}
	more, err := m.addMounts(mounts, p, readOnly)
	s.Preopens = append(s.Preopens, more...)
	return err
}

func (m *Manager) addMounts(mounts []host.Mount, p *plan, readOnly bool) (out []wire.Preopen, err error) {
	for _, t := range mounts {
		guest := path.Join(mountsDir, t.Name)
		// The configuration was checked a while ago, and Docker follows symlinks.
		if real, err := filepath.EvalSymlinks(t.Path); err != nil || real != t.Path {
			return nil, fmt.Errorf("%w: mount %s: %s is gone, or a symlink leads elsewhere since the configuration was read",
				host.ErrDenied, t.Name, t.Path)
		}
		out = append(out, wire.Preopen{
			Guest: guest, Path: p.bind(m, t.Path, guest, t.Write && !readOnly), ReadOnly: readOnly || !t.Write,
		})
	}
	return out, nil
}

// bind mounts source at target, once, writable when one user of it needs that, and returns
// where the runner sees it.
func (p *plan) bind(m *Manager, source, target string, write bool) string {
	b := host.Bind{Source: source, Target: target, Write: write}
	for i := range p.spec.Binds {
		if have := &p.spec.Binds[i]; have.Target == target {
			have.Write = have.Write || write
			return m.cfg.Engine.Path(b)
		}
	}
	p.spec.Binds = append(p.spec.Binds, b)
	return m.cfg.Engine.Path(b)
}

// workspace makes sure that rel exists below the job's workspace.
func (m *Manager) workspace(j Job, p *plan, rel string) error {
	uid, gid := m.cfg.Engine.Owner()
	if p.workspace = j.Workspace; p.workspace == "" {
		if err := os.MkdirAll(m.cfg.Workspaces, 0o700); err != nil {
			return err
		}
		if err := makeDir(m.cfg.Workspaces, string(p.agent), uid, gid); err != nil {
			return err
		}
		p.workspace = filepath.Join(m.cfg.Workspaces, string(p.agent))
	} else if err := adopt(p.workspace, uid, gid); err != nil {
		return err
	}
	return makeDir(p.workspace, rel, uid, gid)
}

// Memory is what an agent wrote for itself to read in every turn; "" = nothing.
func (m *Manager) Memory(id host.AgentID) string {
	return m.memory(filepath.Join(m.cfg.Workspaces, string(id)))
}

func (m *Manager) memory(workspace string) string {
	b, err := OpenWorkspaceFile(workspace, "MEMORY.md", maxMemory)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.log.Warn("memory of an agent not read", "workspace", workspace, "error", err)
	}
	if errors.Is(err, host.ErrLimit) {
		return fmt.Sprintf("(MEMORY.md is not shown: it has more than %d bytes. Make it shorter.)", maxMemory)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

func strs(cs []host.Capability) []string {
	out := make([]string, len(cs))
	for i, c := range cs {
		out[i] = string(c)
	}
	return out
}
