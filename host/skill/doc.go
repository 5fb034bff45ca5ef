// Package skill reads, checks and registers skills: one .wasm file each, code and
// manifest together.
//
// In reading order: ParseManifest says what a manifest must be, Read opens a file as the
// hostile thing it is (ReadText a folder of instructions), Verify says who signed it, Lock
// remembers what was accepted and holds what goes beyond, Registry knows every file of plugins/
// and why it may or may not be used, AdmitFile keeps admitted skills by digest.
//
// It must never compile or run WASM in this process: an Admitter does, in a container
// or a limited child process. It must never use a file before it is in the content
// store: plugins/ may change under it at any time.
//
// A refusal is for good until the file changes; it wraps both module.ErrRefused and
// host.ErrDenied, and says in one line what is wrong with the file.
package skill

import (
	"fmt"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/module"
)

// refusal is the error of a file that will not be used. Its text says "refused" once.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// Is makes every refusal a host.ErrDenied: exit code 3.
func (refusal) Is(target error) bool { return target == host.ErrDenied || target == module.ErrRefused }

func refuse(format string, args ...any) error {
	return refusal{fmt.Errorf("refused: "+format, args...)}
}
