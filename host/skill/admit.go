package skill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// Admitter validates, compiles and meters one module away from this process: the
// runner's `admit` in a container or a limited child process.
type Admitter interface {
	// Admit reads wasmPath and writes skill.wasm and cache/ into outDir, which is empty.
	Admit(ctx context.Context, wasmPath, outDir string) error
	// Key names everything its output depends on besides the module: runner, runtime, CPU. It is a file name.
	Key() string
}

// Admit asks a. What it finds wrong with the module is a refusal; what is wrong with
// the machine is not.
func Admit(ctx context.Context, a Admitter, wasmPath, outDir string) error {
	err := a.Admit(ctx, wasmPath, outDir)
	for _, verdict := range []error{host.ErrInvalid, host.ErrLimit, host.ErrCrashed} {
		if errors.Is(err, verdict) {
			return refusal{err}
		}
	}
	return err
}

// maxMetered bounds skill.wasm: metering adds code to every block.
const maxMetered = 64 << 20

// abandoned is the age at which another process's temporary directory counts as left behind.
const abandoned = time.Hour

// admitted is admitted.json. It is written last, so a directory without one is not admitted.
type admitted struct {
	Digest host.Digest `json:"digest"` // of the file as dropped
	Key    string      `json:"key"`
	Wasm   string      `json:"wasm"` // hex sha256 of skill.wasm
}

// AdmitFile keeps f in the content store and makes its admitted form, or finds it made
// already for this digest and Key. Two processes may admit the same file at once: each
// works in a directory of its own and the first to finish gives it its name.
func (r *Registry) AdmitFile(ctx context.Context, f *File) (*host.Skill, error) {
	if f.Manifest.Kind == host.KindText {
		return &host.Skill{Manifest: f.Manifest, Digest: f.Digest, Text: f.Text}, nil
	}
	want := admitted{Digest: f.Digest, Key: r.cfg.Admit.Key()}
	dir := filepath.Join(r.cfg.State, "admitted", hexOf(f.Digest)+"-"+want.Key)
	skill := &host.Skill{Manifest: f.Manifest, Digest: f.Digest, Dir: dir, Text: f.Text}
	if r.isAdmitted(dir, want) {
		return skill, nil
	}
	stored := Stored(r.cfg.State, f.Digest)
	if err := store(stored, f); err != nil {
		return nil, fmt.Errorf("content store: %w", err)
	}
	r.cfg.Progress("admitting " + filepath.Base(f.Path))
	tmp, err := r.compile(ctx, stored, want)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	for range 2 {
		err = os.Rename(tmp, dir)
		if err == nil || r.isAdmitted(dir, want) {
			return skill, nil
		}
		if err := os.RemoveAll(dir); err != nil { // what stands there was made otherwise, or damaged
			return nil, err
		}
	}
	return nil, err
}

// compile has stored admitted into a temporary directory beside the others.
func (r *Registry) compile(ctx context.Context, stored string, rec admitted) (_ string, err error) {
	parent := filepath.Join(r.cfg.State, "admitted")
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(parent, ".tmp-")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	start := time.Now()
	if err := Admit(ctx, r.cfg.Admit, stored, dir); err != nil {
		return "", err
	}
	r.log.Debug("admitted", "digest", rec.Digest, "took", time.Since(start).Round(time.Millisecond))
	wasm, err := readRegular(filepath.Join(dir, "skill.wasm"), maxMetered)
	if err != nil {
		return "", fmt.Errorf("%w: admission left no module: %w", host.ErrCrashed, err)
	}
	rec.Wasm = hexSum(wasm)
	line, err := json.Marshal(rec)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "admitted.json"), line, 0o600); err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755) // runners may have another uid; admitted/ itself is private
}

// isAdmitted reports whether dir holds the admitted form that want describes, undamaged.
func (r *Registry) isAdmitted(dir string, want admitted) bool {
	b, err := readRegular(filepath.Join(dir, "admitted.json"), 4096)
	if err != nil {
		return false
	}
	var got admitted
	if json.Unmarshal(b, &got) != nil || got.Digest != want.Digest || got.Key != want.Key {
		return false
	}
	wasm, err := readRegular(filepath.Join(dir, "skill.wasm"), maxMetered)
	return err == nil && hexSum(wasm) == got.Wasm
}

func hexOf(d host.Digest) string { return strings.TrimPrefix(string(d), "sha256:") }

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// store copies f into the content store; a file that is there has the right content by its name.
func store(path string, f *File) error {
	if st, err := os.Lstat(path); err == nil && st.Mode().IsRegular() && st.Size() == f.Size {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return WriteAtomic(path, f.Bytes, 0o444)
}

// WriteAtomic makes path appear whole or not at all. Until then its name is one that no
// Registry looks at.
func WriteAtomic(path string, b []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// sweep removes temporary directories of processes that died in the middle of an admission.
func (r *Registry) sweep() {
	left, _ := filepath.Glob(filepath.Join(r.cfg.State, "admitted", ".tmp-*"))
	for _, dir := range left {
		if st, err := os.Lstat(dir); err == nil && time.Since(st.ModTime()) > abandoned {
			if err := os.RemoveAll(dir); err != nil && !errors.Is(err, syscall.ENOENT) {
				r.log.Warn("leftover of an admission", "dir", dir, "error", err)
			}
		}
	}
}
