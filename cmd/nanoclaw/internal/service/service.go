// Package service makes the host a service of this machine: a unit of systemd, of the machine when
// root installs it and else of the user, or an agent of launchd on macOS.
//
// It owns the service file and what is asked of the service manager. It must never write a key into
// a service file, which others can read; never replace or remove a file that it did not make; and
// never touch the configuration or the state.
package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/nanoclaw/nanoclaw/host"
)

// Machine is where a service is installed. Its functions are what is done to it; a test gives it a
// machine of its own.
type Machine struct {
	GOOS string
	UID  int
	Root string // where the machine's files are: "/" but in tests
	Home string
	User string

	Look func(program string) (string, error)
	Run  func(ctx context.Context, name string, args ...string) error // what it prints is for the user
	Say  func(string)
}

// System reports whether a service here is the machine's and not a user's.
func (m *Machine) System() bool { return m.UID == 0 && m.GOOS != "darwin" }

// Path is where the service file is or would be.
func (m *Machine) Path() string {
	switch {
	case m.GOOS == "darwin":
		return filepath.Join(m.Home, "Library", "LaunchAgents", Label+".plist")
	case m.System():
		return filepath.Join(m.Root, "etc", "systemd", "system", Name+".service")
	}
	return filepath.Join(m.Home, ".config", "systemd", "user", Name+".service")
}

// File is what the service file of u says here.
func (m *Machine) File(u Unit) (string, error) {
	if err := u.check(); err != nil {
		return "", err
	}
	if m.GOOS == "darwin" {
		return u.Launchd(), nil
	}
	return u.Systemd(), nil
}

// Manager is nil where there is a service manager that answers for this machine.
func (m *Machine) Manager() error {
	const run = "run 'nanoclaw run' under a supervisor of yours"
	switch {
	case m.GOOS == "darwin" && m.UID == 0:
		return fmt.Errorf("%w: on macOS Docker and so this service belong to a user; run it without sudo", host.ErrInvalid)
	case m.GOOS == "darwin":
		return nil
	case m.GOOS != "linux":
		return fmt.Errorf("%w: there is neither systemd nor launchd on %s; %s", host.ErrUnavailable, m.GOOS, run)
	}
	if _, err := os.Stat(filepath.Join(m.Root, "run", "systemd", "system")); err != nil {
		return fmt.Errorf("%w: systemd does not run this machine; %s", host.ErrUnavailable, run)
	}
	if _, err := m.Look("systemctl"); err != nil {
		return fmt.Errorf("%w: systemctl is not installed; %s", host.ErrUnavailable, run)
	}
	return nil
}

// Installed is an error when there is no service file of ours.
func (m *Machine) Installed() error {
	b, err := os.ReadFile(m.Path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: no service is installed; 'nanoclaw service install' makes one", host.ErrNotFound)
	case err == nil && !bytes.Contains(b, []byte(mark)):
		return fmt.Errorf("%w: %s was not made by nanoclaw: move it away first", host.ErrDenied, m.Path())
	}
	return err
}

// Install writes the service file, and starts the service now and at each boot.
func (m *Machine) Install(ctx context.Context, u Unit) error {
	if err := m.Manager(); err != nil {
		return err
	}
	text, err := m.File(u)
	if err != nil {
		return err
	}
	if err := m.Installed(); err != nil && !errors.Is(err, host.ErrNotFound) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(m.Path()), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(m.Path(), []byte(text), 0o644); err != nil {
		return err
	}
	m.Say("wrote " + m.Path())
	if m.GOOS == "darwin" {
		_ = m.Run(ctx, "launchctl", "bootout", m.job()) // one from before; there may be none
		return m.Run(ctx, "launchctl", "bootstrap", m.domain(), m.Path())
	}
	for _, args := range [][]string{{"daemon-reload"}, {"enable", Name}, {"restart", Name}} {
		if err := m.systemctl(ctx, args...); err != nil {
			return fmt.Errorf("systemctl %s: %w; the file stays, 'nanoclaw service uninstall' removes it", args[0], err)
		}
	}
	if !m.System() {
		if err := m.Run(ctx, "loginctl", "enable-linger", m.User); err != nil {
			m.Say("It runs while you are logged in. For a start at boot: sudo loginctl enable-linger " + m.User)
		}
	}
	return nil
}

// Status shows what the service manager says.
func (m *Machine) Status(ctx context.Context) error {
	if err := errors.Join(m.Installed(), m.Manager()); err != nil {
		return err
	}
	if m.GOOS == "darwin" {
		return m.Run(ctx, "launchctl", "print", m.job())
	}
	return m.systemctl(ctx, "status", "--no-pager", Name)
}

// Logs shows the journal; host.ErrUnavailable where there is none.
func (m *Machine) Logs(ctx context.Context, last int, follow bool) error {
	if err := m.Installed(); err != nil {
		return err
	}
	if _, err := m.Look("journalctl"); m.GOOS == "darwin" || err != nil {
		return host.ErrUnavailable
	}
	args := []string{"--no-pager", "-n", strconv.Itoa(last), "-u", Name}
	if !m.System() {
		args = append([]string{"--user"}, args...)
	}
	if follow {
		args = append(args, "-f")
	}
	return m.Run(ctx, "journalctl", args...)
}

// Uninstall stops the service and removes its file, and nothing else.
func (m *Machine) Uninstall(ctx context.Context) error {
	if err := m.Installed(); err != nil {
		return err
	}
	if err := m.Manager(); err != nil {
		m.Say(err.Error())
	} else if m.GOOS == "darwin" {
		_ = m.Run(ctx, "launchctl", "bootout", m.job()) // it may not be loaded
	} else if err := m.systemctl(ctx, "disable", "--now", Name); err != nil {
		return err
	}
	if err := os.Remove(m.Path()); err != nil {
		return err
	}
	m.Say("removed " + m.Path())
	if m.GOOS == "darwin" || m.Manager() != nil {
		return nil
	}
	return m.systemctl(ctx, "daemon-reload")
}

func (m *Machine) systemctl(ctx context.Context, args ...string) error {
	if !m.System() {
		args = append([]string{"--user"}, args...)
	}
	return m.Run(ctx, "systemctl", args...)
}

func (m *Machine) domain() string { return "gui/" + strconv.Itoa(m.UID) }
func (m *Machine) job() string    { return m.domain() + "/" + Label }
