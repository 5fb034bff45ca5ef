package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
)

// Set stores value under name in the state directory: a file of mode 0600, there whole or not at all.
func Set(state, name, value string) error {
	if err := host.CheckSecretName(name); err != nil {
		return err
	}
	if value = strings.TrimSpace(value); value == "" || len(value) > maxValue {
		return fmt.Errorf("%w: a secret has from 1 to %d bytes", host.ErrInvalid, maxValue)
	}
	path := host.SecretFile(state, name)
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil { // it may have been there before
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*") // of mode 0600; a name that no secret can have
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(value)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Remove deletes a stored secret.
func Remove(state, name string) error {
	if err := host.CheckSecretName(name); err != nil {
		return err
	}
	err := os.Remove(host.SecretFile(state, name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: no secret %s is stored here", host.ErrNotFound, name)
	}
	return err
}

// Stored says where every stored secret is, by name.
func Stored(state string) map[string]host.SecretSource {
	out := make(map[string]host.SecretSource)
	entries, _ := os.ReadDir(host.SecretFile(state, "")) // there is no directory before the first one
	for _, e := range entries {
		if host.CheckSecretName(e.Name()) == nil {
			out[e.Name()] = host.SecretSource{File: host.SecretFile(state, e.Name())}
		}
	}
	return out
}
