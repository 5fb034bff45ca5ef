// Package vm runs everything in a virtual machine: Debian's kernel and Docker on QEMU, which emulates
// each instruction, so that it needs no KVM and takes a while. It shows that NanoClaw answers and
// contains there, and that who breaks out of a container is still in the machine.
//
// The machine has two disks and nothing else: no network device, no directory of the real machine.
// What happens in it is testdata/guest; what counts is judged here, from outside.
package vm

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	root     = "../../../.." // of the repository
	cache    = root + "/bin/vm"
	suite    = "bookworm"
	packages = "linux-image-cloud-amd64,initramfs-tools,apparmor,docker.io,iproute2,kmod"
	patience = 90 * time.Minute // for the machine, from its start to its end
)

// first is the machine's first program; the rest of it comes with the second disk.
const first = "#!/bin/sh\nmount /dev/vdb /vm && exec /vm/guest init\n"

// config has the two skills that a sum takes: compiling one takes a minute here.
const config = `[skills]
dir = "plugins"
[model]
provider = "offline"
[roles.main]
description = "Calculates"
prompt = "Calculate."
agent = "assistant"
skills = ["calc"]
[[routes]]
channel = "console"
chat = "*"
role = "main"
`

// command runs one program, which says nothing unless it fails.
func command(t *testing.T, name string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "LC_ALL=C")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out[max(0, len(out)-4000):])
	}
}

// write makes a file in dir.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// debian makes the machine's first disk, kernel and initial RAM disk, or finds them as an earlier run made them.
func debian(t *testing.T) string {
	t.Helper()
	sum := sha256.Sum256([]byte(suite + packages + first))
	dir := filepath.Join(cache, hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if os.Getuid() != 0 {
		t.Fatal("debootstrap needs root: run make test-vm as root, at least the first time")
	}
	t.Log("making the machine's Debian, once")
	os.RemoveAll(cache)
	made, tree := dir+".new", filepath.Join(cache, "root")
	if err := os.MkdirAll(made, 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, "debootstrap", "--variant=minbase", "--include="+packages, suite, tree)
	if err := os.Mkdir(filepath.Join(tree, "vm"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(tree, "vm-init"), first)
	for from, to := range map[string]string{"vmlinuz": "kernel", "initrd.img": "initrd"} { // links that Debian makes
		command(t, "cp", "-L", filepath.Join(tree, from), filepath.Join(made, to))
	}
	command(t, "rm", "-rf", filepath.Join(tree, "var/cache/apt"))
	disk(t, tree, filepath.Join(made, "disk"), "4G")
	command(t, "rm", "-rf", tree)
	if err := os.Rename(made, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// disk makes a file system of a directory. Neither a loop device nor a mount is needed.
func disk(t *testing.T, tree, image, size string) {
	t.Helper()
	command(t, "mkfs.ext4", "-q", "-F", "-d", tree, image, size)
}

// random is a name that nobody has.
func random() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// secrets are what this run's machine is told from everything else by.
type secrets struct{ token, secret, planted, canary string }

// payload makes the second disk: what is tested, with the programs that test it.
func payload(t *testing.T, s secrets) string {
	t.Helper()
	tree := t.TempDir()
	command(t, "go", "build", "-trimpath", "-o", filepath.Join(tree, "guest"), "./testdata/guest")
	command(t, "go", "build", "-trimpath", "-o", filepath.Join(tree, "probe"), root+"/host/container/testdata/probe")
	command(t, "go", "test", "-c", "-trimpath", "-o", filepath.Join(tree, "container.test"), root+"/host/container")
	if err := os.Mkdir(filepath.Join(tree, "plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bin/nanoclaw", "bin/nanoclaw-runner", "plugins/assistant.wasm", "plugins/calc.wasm"} {
		to := filepath.Join(tree, strings.TrimPrefix(name, "bin/"))
		command(t, "cp", filepath.Join(root, name), to)
	}
	for name, text := range map[string]string{
		"nanoclaw.toml": config, "token": s.token, "secret": s.secret, "planted": s.planted,
	} {
		write(t, filepath.Join(tree, name), text)
	}
	image := filepath.Join(t.TempDir(), "payload")
	disk(t, tree, image, "512M")
	return image
}

// step is what the guest says of one.
type step struct {
	Step    string
	Seconds float64
	Said    json.RawMessage
	Error   string
}

// text is what a step said, where that is one.
func (s step) text() (text string) {
	json.Unmarshal(s.Said, &text)
	return text
}

// boot runs the machine until it turns itself off, and returns what its steps said and all that
// came out of it. Its clock counts instructions, a nanosecond each (icount), and not time: it is a
// machine of ordinary speed to what runs in it, whose deadlines are what they are, however slow this
// one is.
func boot(t *testing.T, base, payload string) (steps map[string]step, all []byte) {
	t.Helper()
	console := filepath.Join(cache, "console.log")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg,thread=single", "-icount", "shift=0", "-smp", "1",
		"-cpu", "max,la57=off", "-m", "2048",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none",
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-kernel", filepath.Join(base, "kernel"), "-initrd", filepath.Join(base, "initrd"),
		"-append", "root=/dev/vda rw console=ttyS0 init=/vm-init panic=-1 quiet",
		"-drive", "file="+filepath.Join(base, "disk")+",format=raw,if=virtio,snapshot=on", // nothing stays of this run
		"-drive", "file="+payload+",format=raw,if=virtio,snapshot=on",
		"-serial", "file:"+console, "-serial", "stdio")
	var out, stderr bytes.Buffer
	c.Stderr = &stderr
	said, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	steps = map[string]step{}
	lines := bufio.NewScanner(io.TeeReader(said, &out))
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var s step
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Errorf("the machine said %q", lines.Text())
			continue
		}
		steps[s.Step] = s
		t.Logf("%4.0f s  %s took %.1f s: %.2000s %s", time.Since(began).Seconds(), s.Step, s.Seconds, s.Said, s.Error)
		if s.Error != "" {
			t.Errorf("%s: %s", s.Step, s.Error)
		}
	}
	err = c.Wait()
	log, _ := os.ReadFile(console)
	if err != nil || ctx.Err() != nil || len(steps) == 0 {
		t.Fatalf("the machine ended in a bad way: %v %v %s\n%s", err, ctx.Err(), stderr.Bytes(), log[max(0, len(log)-4000):])
	}
	return steps, append(out.Bytes(), log...)
}

// machine is what the first step says.
type machine struct {
	Kernel, Vendor, Uptime string
	BootID                 string `json:"boot_id"`
	Devices                struct{ Net, Block []string }
}

// escape is what came of a try to break out.
type escape struct {
	BootID string `json:"boot_id"`
	Wrote  []string
	Secret string
	Found  map[string]string
	Errors []string
}

// TestVM needs QEMU, root and patience, so it is in no other target.
func TestVM(t *testing.T) {
	if os.Getenv("NANOCLAW_TEST_VM") == "" {
		t.Skip("make test-vm runs it")
	}
	if runtime.GOARCH != "amd64" {
		t.Fatal("the virtual machine is an amd64 one, and programs built here are for " + runtime.GOARCH)
	}
	s := secrets{random(), random(), "~nanoclaw-canary-" + random(), "~nanoclaw-canary-" + random()}
	canary := filepath.Join(t.TempDir(), "canary")
	write(t, canary, s.canary)
	steps, all := boot(t, debian(t), payload(t, s))

	m := decode[machine](t, steps["machine"])
	isOther(t, m)
	for _, name := range []string{"answer", "again"} {
		if got := steps[name].text(); !strings.Contains(got, "42") {
			t.Errorf("%s: the assistant said %q", name, got)
		}
	}
	if got := steps["containers"].text(); strings.Count(got, "admit\n") != 2 || !strings.Contains(got, "main-default-") {
		t.Errorf("containers for two skills to be compiled in, and for turns: %q", got)
	}
	healthy(t, steps["doctor"])
	for _, name := range []string{"TestContainment", "TestHardening"} {
		if got := steps["containment"].text(); !strings.Contains(got, "--- PASS: "+name+" ") {
			t.Errorf("%s did not pass: %s", name, got)
		}
	}
	brokeOut(t, steps, s, m.BootID)

	// What it did there is not here.
	if _, err := os.Lstat("/nanoclaw-escaped-" + s.token); !os.IsNotExist(err) {
		t.Errorf("the file of the break-out is on this machine: %v", err)
	}
	if b, err := os.ReadFile(canary); err != nil || string(b) != s.canary {
		t.Errorf("this machine's canary is %q, %v", b, err)
	}
	if bytes.Contains(all, []byte(s.canary)) {
		t.Error("this machine's canary came out of the virtual one")
	}
	if !bytes.Contains(all, []byte(s.planted)) {
		t.Error("the search for canaries finds not even the planted one")
	}
}

// decode is what a step said.
func decode[T any](t *testing.T, s step) (v T) {
	t.Helper()
	if err := json.Unmarshal(s.Said, &v); err != nil {
		t.Errorf("step %q: %v: %s", s.Step, err, s.Said)
	}
	return v
}

// isOther: another kernel on another machine, with no way to this one.
func isOther(t *testing.T, m machine) {
	t.Helper()
	here, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || m.BootID == "" || m.BootID == strings.TrimSpace(string(here)) || m.Vendor != "QEMU" {
		t.Errorf("that is no other machine: %+v, here %s, %v", m, here, err)
	}
	if !slices.Equal(m.Devices.Net, []string{"lo"}) {
		t.Errorf("the machine has network interfaces: %q", m.Devices.Net)
	}
	if !slices.Equal(m.Devices.Block, []string{"vda", "vdb"}) {
		t.Errorf("the machine has disks %q", m.Devices.Block)
	}
}

// healthy: doctor started a container, compared it with the list, and had a turn answered.
func healthy(t *testing.T, s step) {
	t.Helper()
	d := decode[struct {
		OK     bool
		Checks []struct{ Name, State, Detail string }
	}](t, s)
	rows := map[string]string{}
	for _, c := range d.Checks {
		rows[c.Name] = c.State
	}
	if !d.OK || rows["container"] != "ok" || rows["turn"] != "ok" {
		t.Errorf("doctor: %+v", d)
	}
}

// brokeOut: the weakened container has the whole virtual machine, the hardened one nothing of it.
func brokeOut(t *testing.T, steps map[string]step, s secrets, bootID string) {
	t.Helper()
	hard, weak := decode[escape](t, steps["hardened"]), decode[escape](t, steps["weakened"])
	if len(hard.Wrote) != 0 || hard.Secret != "" || len(hard.Found) != 0 || len(hard.Errors) != 2 {
		t.Errorf("the hardened container broke out: %+v", hard)
	}
	if len(weak.Wrote) != 2 || !strings.Contains(weak.Secret, s.secret) || steps["after"].text() != s.token {
		t.Errorf("the weakened container did not break out: %+v, and after it the file was %q", weak, steps["after"].text())
	}
	if weak.BootID != bootID {
		t.Errorf("it broke out into another machine: %s, not %s", weak.BootID, bootID)
	}
	if weak.Found["/host/vm/planted"] != s.planted || len(weak.Found) != 1 {
		t.Errorf("canaries found: %q; only the planted one is there", weak.Found)
	}
}
