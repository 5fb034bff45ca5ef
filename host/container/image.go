package container

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"
	api "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// imageName is the repository of agent images; their tag is the runner's digest.
const imageName = "nanoclaw-agent"

const labelRunner = labelPrefix + "runner"

// EnsureImage makes the agent image, the runner and empty mount points and nothing else,
// unless the daemon has it. The image ID it answers is what Start runs, whatever becomes of
// the tag. Images of earlier runners are left alone.
func (d *Docker) EnsureImage(ctx context.Context, runnerPath string) (id string, built bool, err error) {
	info, err := d.Info(ctx)
	if err != nil {
		return "", false, err
	}
	digest, err := checkRunner(runnerPath, info.Arch)
	if err != nil {
		return "", false, err
	}
	ref := imageName + ":" + digest[:12]
	if id := d.imageID(ctx, ref, digest); id != "" {
		return id, false, nil
	}
	said, err := d.importImage(ctx, runnerPath, ref, digest)
	if err != nil {
		return "", false, d.explain("build image "+ref, err)
	}
	if id = d.imageID(ctx, ref, digest); id == "" {
		return "", false, fmt.Errorf("%w: docker did not take image %s: %.300q", host.ErrUnavailable, ref, said)
	}
	return id, true, nil
}

// Program is the ID of an image that a role runs a program of. It must be there: nothing is pulled.
func (d *Docker) Program(ctx context.Context, ref string) (string, error) {
	i, err := d.api.ImageInspect(ctx, ref)
	switch {
	case errdefs.IsNotFound(err):
		return "", fmt.Errorf("%w: there is no image %s; 'nanoclaw image build claude-code' makes the one for Claude Code",
			host.ErrNotFound, ref)
	case err != nil:
		return "", d.explain("inspect image "+ref, err)
	case i.Config != nil && len(i.Config.Volumes) > 0: // Docker would make them, writable and without a bound
		return "", fmt.Errorf("%w: image %s declares volumes, which agents do not get", host.ErrInvalid, ref)
	}
	return i.ID, nil
}

// imageID is the ID of an image that was made of this runner, "" when there is none.
func (d *Docker) imageID(ctx context.Context, ref, digest string) string {
	i, err := d.api.ImageInspect(ctx, ref)
	if err != nil || i.Config == nil || i.Config.Labels[labelRunner] != digest {
		return ""
	}
	return i.ID
}

// checkRunner is the runner's digest, when it is a program for the daemon's machine.
func checkRunner(path, arch string) (digest string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("runner: %w", err)
	}
	defer f.Close()
	e, err := elf.NewFile(f)
	if err != nil {
		return "", fmt.Errorf("%w: %s is not a Linux program: build it with GOOS=linux GOARCH=%s",
			host.ErrInvalid, path, arch)
	}
	built := map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}[e.Machine]
	if built != arch {
		return "", fmt.Errorf("%w: %s is built for %v and the docker daemon runs on %s: 'make build' asks the daemon, "+
			"or build it with GOARCH=%[4]s", host.ErrInvalid, path, e.Machine, arch)
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<40)); err != nil {
		return "", fmt.Errorf("runner: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Export is the file system of an image, pulled when the daemon does not have it, as a tar archive.
func (d *Docker) Export(ctx context.Context, ref string) (io.ReadCloser, error) {
	what := "export image " + ref
	if _, err := d.api.ImageInspect(ctx, ref); errdefs.IsNotFound(err) {
		pulled, err := d.api.ImagePull(ctx, ref, image.PullOptions{})
		if err != nil {
			return nil, d.explain("pull image "+ref, err)
		}
		_, err = io.Copy(io.Discard, pulled) // its end is the pull's
		if err = errors.Join(err, pulled.Close()); err != nil {
			return nil, d.explain("pull image "+ref, err)
		}
	}
	made, err := d.api.ContainerCreate(ctx, &api.Config{Image: ref, Cmd: []string{"-"}, Labels: map[string]string{
		labelInstall: d.cfg.InstallID,
	}}, nil, nil, nil, "")
	if err != nil {
		return nil, d.explain(what, err)
	}
	body, err := d.api.ContainerExport(ctx, made.ID)
	if err != nil {
		return nil, errors.Join(d.explain(what, err), d.remove(ctx, made.ID))
	}
	return exported{body, func() error { return d.remove(context.WithoutCancel(ctx), made.ID) }}, nil
}

// exported is removed when it is closed.
type exported struct {
	io.ReadCloser
	remove func() error
}

func (e exported) Close() error { return errors.Join(e.ReadCloser.Close(), e.remove()) }

// Import makes an image of one layer, a tar archive, with a label that names what it was made of.
func (d *Docker) Import(ctx context.Context, ref string, layer io.Reader, made string) error {
	said, err := d.importLayer(ctx, ref, layer, "LABEL "+labelPrefix+"made="+made)
	if err != nil {
		return d.explain("import image "+ref, err)
	}
	if _, err := d.api.ImageInspect(ctx, ref); err != nil {
		return fmt.Errorf("%w: docker did not take image %s: %.300q", host.ErrUnavailable, ref, said)
	}
	return nil
}

func (d *Docker) importLayer(ctx context.Context, ref string, layer io.Reader, changes ...string) ([]byte, error) {
	body, err := d.api.ImageImport(ctx, image.ImportSource{Source: layer, SourceName: "-"}, ref,
		image.ImportOptions{Changes: changes})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return wire.ReadLimited(body, 1<<20)
}

func (d *Docker) importImage(ctx context.Context, runnerPath, ref, digest string) (said []byte, err error) {
	runner, err := os.ReadFile(runnerPath)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(runner); hex.EncodeToString(sum[:]) != digest {
		return nil, fmt.Errorf("%w: %s changed while it was read", host.ErrBusy, runnerPath)
	}
	layer, err := layer(runner)
	if err != nil {
		return nil, err
	}
	return d.importLayer(ctx, ref, layer, `ENTRYPOINT ["/runner"]`, "LABEL "+labelRunner+"="+digest)
}

// layer is the image's file system. /tmp has the mode that a tmpfs over it takes.
func layer(runner []byte) (*bytes.Buffer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777},
		{Typeflag: tar.TypeDir, Name: "workspace/", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "skills/", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "mnt/", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: "runner", Mode: 0o755, Size: int64(len(runner))},
	} {
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
	}
	if _, err := w.Write(runner); err != nil {
		return nil, err
	}
	return &b, w.Close()
}
