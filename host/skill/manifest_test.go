package skill

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func TestManifestRules(t *testing.T) {
	long := strings.Repeat("x", 65)
	for name, c := range map[string]struct {
		change func(*host.Manifest)
		want   string // "" is accepted
	}{
		"as it is":           {func(*host.Manifest) {}, ""},
		"abi 2":              {func(m *host.Manifest) { m.ABI = 2 }, "abi is 2"},
		"upper-case name":    {func(m *host.Manifest) { m.Name = "Calc" }, "name"},
		"double hyphen":      {func(m *host.Manifest) { m.Name = "a--b" }, "name"},
		"hyphen at the end":  {func(m *host.Manifest) { m.Name = "a-" }, "name"},
		"path for a name":    {func(m *host.Manifest) { m.Name = "../a" }, "name"},
		"name with newline":  {func(m *host.Manifest) { m.Name = "a\n" }, "name"},
		"no name":            {func(m *host.Manifest) { m.Name = "" }, "name"},
		"name of 65":         {func(m *host.Manifest) { m.Name = host.SkillName(long) }, "name"},
		"no version":         {func(m *host.Manifest) { m.Version = "" }, "version"},
		"kind":               {func(m *host.Manifest) { m.Kind = "daemon" }, "kind"},
		"no description":     {func(m *host.Manifest) { m.Description = "" }, "description"},
		"1024 characters":    {func(m *host.Manifest) { m.Description = strings.Repeat("é", 1024) }, ""},
		"1025 characters":    {func(m *host.Manifest) { m.Description = strings.Repeat("é", 1025) }, "description"},
		"escape sequence":    {func(m *host.Manifest) { m.Description = "a\x1b[31m" }, "description"},
		"right to left":      {func(m *host.Manifest) { m.Description = "a\u202eb" }, "description"},
		"memory":             {func(m *host.Manifest) { m.Limits.MemoryMiB = 513 }, "memory_mib"},
		"negative memory":    {func(m *host.Manifest) { m.Limits.MemoryMiB = -1 }, "memory_mib"},
		"timeout":            {func(m *host.Manifest) { m.Limits.TimeoutMS = 300_001 }, "timeout_ms"},
		"unknown capability": {func(m *host.Manifest) { m.Capabilities = []host.Need{need("exec")} }, `"exec" is unknown`},
		"capability twice":   {func(m *host.Manifest) { m.Capabilities = []host.Need{need("kv"), need("kv")} }, `"kv" stands twice`},
		"no reason":          {func(m *host.Manifest) { m.Capabilities = []host.Need{{Name: "kv"}} }, "a reason"},
		"long reason":        {func(m *host.Manifest) { m.Capabilities = []host.Need{{Name: "kv", Reason: strings.Repeat("x", 201)}} }, "a reason"},
		"reason of 2 lines":  {func(m *host.Manifest) { m.Capabilities = []host.Need{{Name: "kv", Reason: "a\nb"}} }, "a reason"},
		"hosts for kv": {func(m *host.Manifest) {
			m.Capabilities = []host.Need{{Name: "kv", Reason: "r", Hosts: []string{"a.b"}}}
		}, "for http"},
		"path for kv": {func(m *host.Manifest) { m.Capabilities = []host.Need{{Name: "kv", Reason: "r", Path: "a"}} }, "for fs"},
		"fs mode":     {func(m *host.Manifest) { m.Capabilities = []host.Need{{Name: "fs", Reason: "r", Mode: "rwx"}} }, "mode"},
		"fs path":     {func(m *host.Manifest) { m.Capabilities = []host.Need{{Name: "fs", Reason: "r", Path: "../x"}} }, "path"},
		"host pattern": {func(m *host.Manifest) {
			m.Capabilities = []host.Need{{Name: "http", Reason: "r", Hosts: []string{"https://a.b"}}}
		}, "host"},
		"method": {func(m *host.Manifest) {
			m.Capabilities = []host.Need{{Name: "http", Reason: "r", Methods: []string{"get"}}}
		}, "method"},
		"no tools":          {func(m *host.Manifest) { m.Tools = nil }, "at least one"},
		"agent, no tools":   {func(m *host.Manifest) { m.Kind, m.Tools = host.KindAgent, nil }, ""},
		"agent, other tool": {func(m *host.Manifest) { m.Kind = host.KindAgent }, `"turn" alone`},
		"agent, turn":       {func(m *host.Manifest) { m.Kind, m.Tools[0].Name = host.KindAgent, "turn" }, ""},
		"tool twice":        {func(m *host.Manifest) { m.Tools = append(m.Tools, m.Tools[0]) }, "stands twice"},
		"65 tools":          {func(m *host.Manifest) { m.Tools = make([]wire.Tool, 65) }, "65 tools"},
		"tool name":         {func(m *host.Manifest) { m.Tools[0].Name = "a b" }, "letters, digits"},
		"public name of 64": {func(m *host.Manifest) { m.Tools[0].Name = strings.Repeat("x", 62) }, ""},
		"public name of 65": {func(m *host.Manifest) { m.Tools[0].Name = strings.Repeat("x", 63) }, "at most 64"},
		"no schema":         {func(m *host.Manifest) { m.Tools[0].InputSchema = nil }, "inputSchema"},
		"array schema":      {func(m *host.Manifest) { m.Tools[0].InputSchema = []byte(`{"type":"array"}`) }, "inputSchema"},
		"null output":       {func(m *host.Manifest) { m.Tools[0].OutputSchema = []byte(`null`) }, "outputSchema"},
		"string output":     {func(m *host.Manifest) { m.Tools[0].OutputSchema = []byte(`"x"`) }, "outputSchema"},
		"annotations":       {func(m *host.Manifest) { m.Tools[0].Annotations = []byte(`[]`) }, "annotations"},
		"examples":          {func(m *host.Manifest) { m.Tools[0].Examples = make([]string, 17) }, "17 examples"},
		"long example":      {func(m *host.Manifest) { m.Tools[0].Examples = []string{strings.Repeat("x", 201)} }, "examples"},
	} {
		t.Run(name, func(t *testing.T) {
			m := manifest("a")
			c.change(&m)
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			_, err = ParseManifest(b)
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, host.ErrInvalid) || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	m := manifest("A", host.Need{Name: "kv"}, host.Need{Name: "exec", Reason: "r"})
	m.Version = ""
	err := CheckManifest(&m)
	for _, want := range []string{"name", "version", "reason", "exec"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestManifestJSON(t *testing.T) {
	for src, want := range map[string]string{
		`{"abi":1} {}`: "more than one JSON value", `[]`: "array", `{"abi":1`: "EOF", "{\"abi\":1,\"name\":\"\xff\"}": "not UTF-8",
		strings.Repeat("[", 60_000): "",
		`{"abi":1,"toolz":[]}`:      `did you mean "tools"`,
	} {
		if _, err := ParseManifest([]byte(src)); !errors.Is(err, host.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", src, err, want)
		}
	}
}

func FuzzManifest(f *testing.F) {
	b, err := json.Marshal(manifest("a", need(host.CapHTTP)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			if !errors.Is(err, host.ErrInvalid) {
				t.Fatalf("%v is not invalid", err)
			}
			return
		}
		stable(t, m)
	})
}

// stable says that what was accepted is accepted again, unchanged, after packing.
func stable(t *testing.T, m host.Manifest) {
	t.Helper()
	first, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseManifest(first)
	if err != nil && len(first) <= MaxManifest {
		t.Fatalf("%v: %s", err, first)
	}
	if second, _ := json.Marshal(again); err == nil && !bytes.Equal(first, second) {
		t.Fatalf("%s\nbecame\n%s", first, second)
	}
}
