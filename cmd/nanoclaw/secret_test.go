package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// weatherKey is an injected secret, put together so that no scanner takes it for a leak.
const weatherKey = "w3Kq8-" + "tV_Rt5uLk" + "7WbYc2HsNfJd1Gp"

// TestSecretCommands: set from stdin and from a variable, list, remove; no value is ever printed, and
// none is taken from the command line.
func TestSecretCommands(t *testing.T) {
	cfg := installed(t).config("") + "\n[roles.api]\nskills = [\"fetch\"]\nhttp = [ { hosts = [\"a.example.com\"], bearer = \"weather\" } ]\n" +
		"[secrets.pass]\ncommand = [\"false\"]\n[secrets.mode]\nfile = \"mode\"\n"
	cfg = strings.Replace(cfg, "# [providers.anthropic]\n", "[providers.anthropic]\napi_key = { secret = \"anthropic\" }\n", 1)
	s := newSite(t, cfg)
	if err := os.WriteFile(filepath.Join(filepath.Dir(s.cfg), "mode"), []byte(weatherKey), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(stdin string, args ...string) (string, int) {
		c := s.cmd(args...)
		c.Stdin, c.Env = strings.NewReader(stdin), append(c.Env, "NC_WEATHER="+weatherKey)
		out, _ := c.CombinedOutput()
		if strings.Contains(string(out), weatherKey) {
			t.Errorf("%q prints the value: %s", args, out)
		}
		return regexp.MustCompile(`  +`).ReplaceAllString(string(out), " "), c.ProcessState.ExitCode()
	}
	for _, tc := range []struct {
		stdin, args, says string
		code              int
	}{
		{"", "secret list", "anthropic stored", 0},
		{"", "secret list", "role api not set: nanoclaw secret set weather", 0},
		{"", "check", "with secret weather as Authorization", 0},
		{weatherKey + "\n", "secret set weather", "", 0},
		{"", "secret set anthropic --from-env NC_WEATHER", "", 0},
		{"", "secret list", "weather stored role api ok\n", 0},
		{"", "secret list", "anthropic stored provider anthropic ok\n", 0},
		{"", "secret list", "pass command false not used not tried\n", 0},
		{"", "secret list", "others may read or write", 0},
		{"short", "secret set pin", "too short to be looked for", 0},
		{weatherKey, "secret set mode", "taken from elsewhere", 0},
		{"", "secret set weather " + weatherKey[:5], "accepts 1 arg(s)", 2},
		{weatherKey, "secret set ../x", "no name of a secret", 1},
		{"", "secret set weather", "from 1 to 65536 bytes", 1},
		{"", "secret set weather --from-env NC_UNSET", "NC_UNSET is not set", 1},
		{"", "secret rm weather", "", 0},
		{"", "secret rm weather", "no secret weather is stored", 1},
	} {
		if out, code := run(tc.stdin, strings.Fields(tc.args)...); code != tc.code || !strings.Contains(out, tc.says) || tc.says == "" && out != "" {
			t.Errorf("%s: exit code %d, %q", tc.args, code, out)
		}
	}
	// A stored value does not leave by a skill; another call of the same skill is not held up by that.
	url := "https://a.example.com/?k=" + hex.EncodeToString([]byte(weatherKey))
	for arg, code := range map[string]int{url: exitDenied, "https://127.0.0.1/": exitDenied} {
		out, got := run("", "skill", "call", filepath.Join(s.plugins, "fetch.wasm"), "fetch", fmt.Sprintf(`{"url":%q}`, arg), "--grant", "public_web")
		if held := strings.Contains(out, "holds a secret of the host"); got != code || held != (arg == url) {
			t.Errorf("skill call: exit code %d: %s", got, out)
		}
	}
	said, _ := run("", "skill", "call", filepath.Join(s.plugins, "notes.wasm"), "notes_add",
		fmt.Sprintf(`{"text":%q}`, weatherKey), "--grant", "fs=rw:notes")
	if !strings.Contains(said, "[secret ") {
		t.Errorf("what a tool says of a secret: %q", said)
	}
	out, _ := run("", "secret", "list", "--json")
	var list []map[string]any
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 5 || len(list[0]) != 4 {
		t.Errorf("%v: %s", err, out)
	}
	st, err := os.Stat(filepath.Join(s.state, "secrets", "anthropic"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
}

// hunt searches everything that a live agent, and those who can look at it, could find a value in.
type hunt struct {
	t      *testing.T
	values map[string][]string // spellings by name
	found  map[string][]string // name -> places
}

func newHunt(t *testing.T, values map[string]string) *hunt {
	h := &hunt{t: t, values: map[string][]string{}, found: map[string][]string{}}
	for name, v := range values {
		h.values[name] = []string{v, hex.EncodeToString([]byte(v))}
		for i := range 3 {
			enc := base64.RawURLEncoding.EncodeToString([]byte("xx"[:i] + "x" + v)[1:])
			h.values[name] = append(h.values[name], enc[4:len(enc)-2], strings.NewReplacer("-", "+", "_", "/").Replace(enc[4:len(enc)-2]))
		}
	}
	return h
}

func (h *hunt) search(place string, b []byte) {
	for name, spellings := range h.values {
		for _, v := range spellings {
			if bytes.Contains(b, []byte(v)) {
				h.found[name] = append(h.found[name], place)
				break
			}
		}
	}
}

// tree searches the files below dir. What goes away meanwhile is not there.
func (h *hunt) tree(place, dir string, skip ...string) (files int) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		for _, s := range skip {
			if path == filepath.Join(dir, s) {
				return fs.SkipDir
			}
		}
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if b, err := os.ReadFile(path); err == nil {
			files++
			h.search(place+strings.TrimPrefix(path, dir), b)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return files
}

// container searches what Docker says of it, its image, and all of its processes: environment, command
// line, files as they see them, and memory.
func (h *hunt) container(id string) {
	h.t.Helper()
	inspect, err := exec.Command("docker", "inspect", id).Output()
	if err != nil {
		h.t.Fatal(err)
	}
	h.search("docker inspect", inspect)
	image, err := exec.Command("docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}",
		strings.TrimSpace(string(output(h.t, "docker", "inspect", "-f", "{{.Image}}", id)))).Output()
	if err != nil {
		h.t.Fatal(err)
	}
	h.search("docker history", image)
	pids := strings.Fields(string(output(h.t, "docker", "top", id, "-o", "pid")))[1:]
	for _, pid := range pids {
		for _, name := range []string{"environ", "cmdline", "status", "mountinfo"} {
			b, err := os.ReadFile("/proc/" + pid + "/" + name)
			if err != nil {
				h.t.Fatal(err)
			}
			h.search("/proc/"+name, b)
		}
		if n := h.tree("rootfs", "/proc/"+pid+"/root/", "proc", "sys"); n == 0 {
			h.t.Error("no file in the container was read")
		}
		if n := h.memory(pid); n < 1<<20 {
			h.t.Errorf("%d bytes of memory were read", n)
		}
	}
}

func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return out
}

// memory searches the pages that are there: reading others would make them, and the container is
// killed for using too much.
func (h *hunt) memory(pid string) (read int) {
	maps, err := os.ReadFile("/proc/" + pid + "/maps")
	if err != nil {
		h.t.Fatal(err)
	}
	mem, err := os.Open("/proc/" + pid + "/mem")
	if err != nil {
		h.t.Fatal(err)
	}
	defer mem.Close()
	pages, err := os.Open("/proc/" + pid + "/pagemap")
	if err != nil {
		h.t.Fatal(err)
	}
	defer pages.Close()
	size := int64(os.Getpagesize())
	for line := range strings.Lines(string(maps)) {
		from, to, _ := strings.Cut(strings.Fields(line)[0], "-")
		a, err1 := strconv.ParseInt(from, 16, 64)
		z, err2 := strconv.ParseInt(to, 16, 64)
		if err1 != nil || err2 != nil { // vsyscall, which is the kernel's
			continue
		}
		var run []byte
		for ; a < z; a += size {
			var entry [8]byte
			if _, err := pages.ReadAt(entry[:], a/size*8); err == nil && entry[7]>>6 != 0 { // present, or swapped out
				b, _ := io.ReadAll(io.NewSectionReader(mem, a, size))
				run = append(run, b...)
				continue
			}
			h.search("memory", run)
			read, run = read+len(run), nil
		}
		h.search("memory", run)
		read += len(run)
	}
	return read
}

// TestNoKeyAnywhere (C17, C10): during and after a turn that uses the key of a provider and an injected
// secret, neither is anywhere but in the host. The model's reply and the server's page repeat them.
// What a search by value is worth is shown by a word of the message, which is found where it must be.
func TestNoKeyAnywhere(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root reads the memory of other processes")
	}
	const word = "controlWord-" + "5521-in-the-open"
	fake := modeltest.NewAnthropic(t,
		modeltest.Answer{Uses: []modeltest.Use{{ID: "u1", Name: "fetch", Input: `{"url":"https://api.example.com/now"}`}}},
		modeltest.Answer{Text: "It rains, and your keys are " + modeltest.Key + " and " + weatherKey + "."})
	there, err := url.Parse(fake.URL)
	if err != nil {
		t.Fatal(err)
	}
	asked, answer := make(chan string), make(chan bool)
	w := newFakeWeb(t, map[string]http.Handler{
		"model.example.com": &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(there) }},
		"api.example.com": http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			asked <- r.Header.Get("Authorization")
			<-answer
			rw.Header().Set("Content-Type", "text/plain")
			fmt.Fprintf(rw, "Rain. You sent %s, which is %x.", r.Header.Get("Authorization"), r.Header.Get("Authorization"))
		}),
	})
	s := w.site("web", "# [providers.anthropic]\n", "[providers.mine]\nkind = \"anthropic\"\nbase_url = \"https://model.example.com\"\n"+
		"api_key = { secret = \"anthropic\" }\n", "# Exact grants. hosts",
		"http = [ { hosts = [\"api.example.com\"], bearer = \"weather\" } ]\n# Exact grants. hosts")
	for name, value := range map[string]string{"anthropic": modeltest.Key, "weather": weatherKey} {
		c := s.cmd("secret", "set", name)
		c.Stdin = strings.NewReader(value)
		if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("secret set: %v: %s", err, out)
		}
	}
	c := s.cmd("-v", "chat")
	c.Stdin = strings.NewReader("what is the weather, " + word + "?\n")
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-asked:
		if got != "Bearer "+weatherKey {
			t.Errorf("the server got %q", got)
		}
	case <-time.After(60 * time.Second):
		t.Fatalf("the server was not asked: %s %s", &stdout, &stderr)
	}
	h := newHunt(t, map[string]string{"anthropic": modeltest.Key, "weather": weatherKey, "control": word})
	ids := s.docker("-q")
	if len(ids) == 0 {
		t.Error("no container is there")
	}
	for _, id := range ids {
		h.container(id)
	}
	close(answer)
	if err := c.Wait(); err != nil {
		t.Fatalf("chat: %v: %s", err, &stderr)
	}
	if got := stdout.String(); got != "It rains, and your keys are [secret anthropic] and [secret weather].\n" {
		t.Errorf("chat said %q", got)
	}
	if last := string(fake.Requests()[1].Raw); !strings.Contains(last, "You sent Bearer [secret weather], which is ") {
		t.Errorf("the model got %s", last)
	}
	h.search("log", stderr.Bytes())
	h.search("chat", stdout.Bytes())
	for _, r := range fake.Requests() {
		h.search("request to the model", r.Raw)
	}
	h.tree("state", s.state, "secrets")
	if len(h.found["anthropic"])+len(h.found["weather"]) > 0 {
		t.Errorf("found anthropic in %q, weather in %q", h.found["anthropic"], h.found["weather"])
	}
	control := strings.Join(h.found["control"], " ")
	for _, place := range []string{"memory", "request to the model", "state/nanoclaw.db"} {
		if !strings.Contains(control, place) {
			t.Errorf("the control was not found in %s, only in %s", place, control)
		}
	}
}

// TestHuntBites: the search finds a value that is planted as a container's environment and command line.
func TestHuntBites(t *testing.T) {
	s := newSite(t, "")
	s.chat("2+2")
	image := strings.Fields(string(output(t, "docker", "images", "-q", "--filter", "reference=nanoclaw-agent")))
	if len(image) == 0 {
		t.Fatal("there is no image of agents")
	}
	h := newHunt(t, map[string]string{"env": weatherKey, "args": modeltest.Key})
	id := strings.TrimSpace(string(output(t, "docker", "create", "-e", "KEY="+base64.StdEncoding.EncodeToString([]byte("me:"+weatherKey)),
		image[0], fmt.Sprintf("%x", modeltest.Key))))
	defer output(t, "docker", "rm", id)
	h.search("docker inspect", output(t, "docker", "inspect", id))
	if len(h.found["env"]) != 1 || len(h.found["args"]) != 1 {
		t.Errorf("found %v", h.found)
	}
}
