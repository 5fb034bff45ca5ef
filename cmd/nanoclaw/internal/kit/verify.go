package kit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/skill"
	"github.com/nanoclaw/nanoclaw/sdk/module"
)

// ErrDiffers says that a file is not what its source builds.
var ErrDiffers = errors.New("differs")

// sectionSig is the signature, which no build can make again.
const sectionSig = "nanoclaw.sig"

// Verify builds and compares the result with the file at path: byte for byte, up to a
// signature at its end. It writes and compiles nothing.
func (b *Build) Verify(ctx context.Context, path string) (d host.Digest, err error) {
	want, err := skill.Read(path)
	if err != nil {
		return "", err
	}
	if b.tmp, err = os.MkdirTemp("", "nanoclaw-build-"); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.tmp)) }()
	made, err := b.make(ctx)
	if err != nil {
		return "", err
	}
	if where := difference(made.Bytes, want.Bytes); where != "" {
		return "", fmt.Errorf("%w: %s is not what %s builds: first %s; built %s, the file is %s",
			ErrDiffers, path, b.Dir, where, made.Digest, want.Digest)
	}
	return want.Digest, nil
}

// difference names the first section in which a file is not as it was made, or "".
func difference(made, file []byte) string {
	if bytes.Equal(made, file) {
		return ""
	}
	a, errA := module.Parse(made)
	b, errB := module.Parse(file)
	if err := errors.Join(errA, errB); err != nil {
		return err.Error()
	}
	if n := len(b); n > 0 && b[n-1].ID == module.SecCustom && b[n-1].Name == sectionSig {
		b = b[:n-1]
	}
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a):
			return sectionText(b[i]) + " was added"
		case i >= len(b):
			return sectionText(a[i]) + " is missing"
		case !bytes.Equal(a[i].Raw, b[i].Raw):
			return sectionText(a[i]) + " differs"
		}
	}
	return ""
}

func sectionText(s module.Section) string {
	names := []string{
		"custom", "types", "imports", "functions", "tables", "memory", "globals", "exports", "start", "elements", "code",
		"data", "data count",
	}
	switch {
	case s.Name == skill.SectionManifest:
		return "the manifest (skill.toml)"
	case s.Name == skill.SectionText:
		return "SKILL.md"
	case s.ID == module.SecCustom:
		return fmt.Sprintf("the section %.64q", s.Name)
	case int(s.ID) < len(names):
		return "the section of " + names[s.ID]
	}
	return fmt.Sprintf("section %d", s.ID)
}
