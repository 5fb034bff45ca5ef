package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
)

const fileName = "nanoclaw.toml"

// Find returns the absolute path of the configuration file: flag, $NANOCLAW_CONFIG,
// ./nanoclaw.toml, then nanoclaw/nanoclaw.toml below $XDG_CONFIG_HOME (~/.config). What is
// named by the flag or the variable must exist: nothing else is looked for then.
func Find(flag string) (string, error) {
	for _, named := range []struct{ from, path string }{
		{"--config", flag}, {"$NANOCLAW_CONFIG", os.Getenv("NANOCLAW_CONFIG")},
	} {
		if named.path == "" {
			continue
		}
		path, err := filepath.Abs(named.path)
		if err != nil {
			return "", err
		}
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%w: configuration %s, named by %s: %w", kindOf(err), path, named.from, reason(err))
		}
		return path, nil
	}
	places := []string{fileName}
	if own, err := Home(); err == nil {
		places = append(places, own)
	}
	for i, p := range places {
		path, err := filepath.Abs(p)
		if err != nil {
			return "", err
		}
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		places[i] = path
	}
	return "", fmt.Errorf("%w: no configuration: looked for %s; 'nanoclaw setup' makes one, "+
		"or name yours with --config FILE or $NANOCLAW_CONFIG", host.ErrNotFound, strings.Join(places, " and "))
}

// Home is the user's own configuration file, whether it is there or not.
func Home() (string, error) {
	if dir := xdg("XDG_CONFIG_HOME", ".config"); dir != "" {
		return filepath.Join(dir, "nanoclaw", fileName), nil
	}
	return "", fmt.Errorf("%w: there is no home directory for a configuration; name one with --config FILE",
		host.ErrNotFound)
}

// xdg is a base directory, "" when there is none. A relative one is ignored, as its standard says.
func xdg(variable, below string) string {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return filepath.Clean(dir)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, below)
}

// stateDir is --state, then state_dir of the file, $NANOCLAW_STATE, nanoclaw below $XDG_STATE_HOME.
func stateDir(flag, written string) (string, error) {
	for _, dir := range []string{flag, written, os.Getenv("NANOCLAW_STATE")} {
		if dir != "" {
			return filepath.Abs(dir)
		}
	}
	if dir := xdg("XDG_STATE_HOME", filepath.Join(".local", "state")); dir != "" {
		return filepath.Join(dir, "nanoclaw"), nil
	}
	return "", errors.New("there is no home directory to keep state in; set state_dir, $NANOCLAW_STATE or --state")
}

// StateHome is where state is of which no configuration says anything.
func StateHome() (string, error) { return stateDir("", "") }

func kindOf(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return host.ErrNotFound
	}
	return host.ErrInvalid
}

// reason is err without the path, which the sentence around it names already.
func reason(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
