package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/nanoclaw/nanoclaw/host"
)

// attachName is how the names of attachments end: with a part of their digest.
var attachName = regexp.MustCompile(`-[0-9a-f]{12}(\.[A-Za-z0-9]+)?$`)

// attach copies files into a workspace, which nobody works in now. That one cannot be there does
// not stop the turn: the agent is told what its name is, and finds out that it is not.
func (m *Manager) attach(workspace string, files []host.File) {
	if len(files) == 0 {
		return
	}
	uid, gid := m.cfg.Engine.Owner()
	err := makeDir(workspace, host.AttachDir, uid, gid)
	for _, f := range files {
		if err == nil {
			err = m.attachOne(workspace, f, uid, gid)
		}
	}
	if err != nil {
		m.log.Warn("attachments not in the workspace", "workspace", workspace, "error", err)
	}
}

// attachOne makes the file anew unless one of its size is there: a copy that its agent changed
// meanwhile is the agent's. What the agent put in its place is not followed.
func (m *Manager) attachOne(workspace string, f host.File, uid, gid int) error {
	root, err := os.OpenRoot(workspace)
	if err != nil {
		return err
	}
	defer root.Close()
	name := filepath.Join(host.AttachDir, f.Name)
	if st, err := root.Lstat(name); err == nil && st.Mode().IsRegular() && st.Size() == f.Size {
		return nil
	}
	in, err := m.cfg.Attached(f.Digest)
	if err != nil {
		return err
	}
	defer in.Close()
	part := filepath.Join(host.AttachDir, ".part")
	if err := root.RemoveAll(part); err != nil {
		return err
	}
	out, err := root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if os.Getuid() == 0 {
		err = errors.Join(err, out.Chown(uid, gid))
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	if err := root.Rename(part, name); err != nil {
		return fmt.Errorf("attachment %s: %w", f.Name, err)
	}
	return nil
}

// KeepAttachments removes the attachments of an agent but those that list names, asked after it was
// seen what is there: what comes meanwhile stays.
func (m *Manager) KeepAttachments(id host.AgentID, list func() ([]host.File, error)) error {
	root, err := os.OpenRoot(filepath.Join(m.cfg.Workspaces, string(id)))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	dir, err := root.OpenFile(host.AttachDir, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_DIRECTORY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	files, err := list()
	if err != nil {
		return err
	}
	keep := make(map[string]bool)
	for _, f := range files {
		keep[f.Name] = true
	}
	for _, name := range names {
		if attachName.MatchString(name) && !keep[name] {
			err = errors.Join(err, root.Remove(filepath.Join(host.AttachDir, name)))
		}
	}
	return err
}

// File reads a file that a skill of a turn names as it sees it, at most max bytes: below need, the fs
// of its manifest, or in a mount of its role.
func (m *Manager) File(s host.Scope, need host.Need, guest string, max int64) ([]byte, error) {
	type dir struct{ guest, below, host string }
	dirs := []dir{{workspaceDir, need.Path, filepath.Join(m.cfg.Workspaces, string(s.Agent.ID))}}
	for _, t := range s.Role.Mounts {
		dirs = append(dirs, dir{path.Join(mountsDir, t.Name), "", t.Path})
	}
	for _, d := range dirs {
		in, err := filepath.Rel(path.Join(d.guest, d.below), guest)
		if err == nil && filepath.IsLocal(in) {
			return OpenWorkspaceFile(d.host, filepath.Join(d.below, in), max)
		}
	}
	return nil, fmt.Errorf("%w: the skill has no such file", host.ErrDenied)
}
