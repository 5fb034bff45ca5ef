package host_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/nanoclaw/nanoclaw"

// arrows is the architecture: each package of the module and what it may import of it.
// "skills/*" stands for every bundled skill, and not for what they share. An import that is
// missing here fails with a
// sentence; adding it is a decision, to be made here, in a review.
//
// cmd/nanoclaw → daemon → working packages → host. The working packages know each other
// only where a pair is written down.
var arrows = map[string][]string{
	"sdk/wire":          {},
	"sdk/wire/pause":    {},
	"sdk/module":        {},
	"sdk/internal/json": {},
	"sdk/internal/abi":  {"sdk/wire"},
	"sdk":               {"sdk/internal/abi", "sdk/internal/json", "sdk/wire"},
	"sdk/sdktest":       {"sdk", "sdk/internal/abi", "sdk/wire"},
	"skills/*": {
		"sdk", "sdk/wire", "skills/internal/clock", "skills/internal/day", "skills/internal/disk", "skills/internal/html",
		"skills/internal/web", "skills/internal/webpage", "skills/internal/workfile", "skills/internal/zone",
	},
	"skills/internal/clock":    {},
	"skills/internal/day":      {"skills/internal/clock"},
	"skills/internal/disk":     {},
	"skills/internal/html":     {},
	"skills/internal/web":      {"sdk"},
	"skills/internal/webpage":  {"sdk", "skills/internal/html"},
	"skills/internal/workfile": {"sdk", "skills/internal/clock", "skills/internal/disk"},
	"skills/internal/zone":     {},

	"host":                         {"sdk/wire"},
	"host/audit":                   {"host"},
	"host/attach":                  {"host"},
	"host/failpoint":               {},
	"host/secret":                  {"host"},
	"host/config":                  {"host", "sdk/wire"},
	"host/store":                   {"host", "host/failpoint", "sdk/wire"},
	"host/skill":                   {"host", "sdk/module", "sdk/wire"},
	"host/container":               {"host", "sdk/wire"},
	"host/agent":                   {"host", "sdk/wire", "sdk/wire/pause"},
	"host/broker":                  {"host", "host/failpoint", "host/secret", "sdk/wire", "sdk/wire/pause"},
	"host/model":                   {"host", "sdk/wire"},
	"host/model/modeltest":         {"sdk/wire"},
	"host/channel":                 {"host"},
	"host/channel/console":         {"host", "host/channel", "sdk/wire"},
	"host/channel/markup":          {},
	"host/channel/whatsapp":        {"host", "host/channel", "host/channel/markup"},
	"host/channel/whatsapp/fakewa": {}, // for tests alone: it is in no other line
	"host/router": {
		"host", "host/attach", "host/channel", "host/channel/markup", "host/failpoint", "host/store", "sdk/wire",
	},
	"host/schedule": {"host", "sdk/wire"},
	"host/daemon": {
		"host", "host/agent", "host/attach", "host/audit", "host/broker", "host/channel", "host/channel/console",
		"host/channel/whatsapp", "host/config", "host/container", "host/model", "host/router", "host/schedule", "host/secret", "host/skill", "host/store",
		"sdk/wire",
	},
	"host/daemon/bench": {"host", "host/channel/console", "host/config", "host/container", "host/daemon"},

	// The WASM host: no noun of the trusted side, so that it can hold none of its secrets.
	"host/wasm":           {"sdk/module", "sdk/wire", "sdk/wire/pause"},
	"cmd/nanoclaw-runner": {"host/wasm", "sdk/module", "sdk/wire", "sdk/wire/pause"},

	// Commands that need no running host use the package that does the job; `audit` reads the
	// log's files. The source of sdk travels in the program, for `skill build`.
	"cmd/nanoclaw": {
		"cmd/nanoclaw/internal/kit", "cmd/nanoclaw/internal/sandbox", "cmd/nanoclaw/internal/service",
		"cmd/nanoclaw/internal/wizard", "host",
		"host/audit", "host/channel/console", "host/channel/whatsapp", "host/config", "host/container",
		"host/daemon", "host/secret", "host/skill", "sdk/module", "sdk/wire",
	},
	// It is above the daemon: test cases are calls in agent containers.
	"cmd/nanoclaw/internal/kit": {
		"host", "host/agent", "host/broker", "host/daemon", "host/skill", "sdk", "sdk/module", "sdk/wire",
	},
	"cmd/nanoclaw/internal/service": {"host"},
	"cmd/nanoclaw/internal/wizard":  {"host", "host/config"},
	"cmd/nanoclaw/internal/sandbox": {"host", "host/config"},
}

// owners says which package alone imports what is dangerous, or foreign enough to be kept
// in one place. The key is an import path; what is below it counts too.
var owners = map[string]string{
	"github.com/tetratelabs/wazero": "host/wasm",
	"github.com/docker/docker":      "host/container",
	"modernc.org/sqlite":            "host/store, host/channel/whatsapp",
	"go.mau.fi":                     "host/channel/whatsapp, host/channel/whatsapp/fakewa",
	"github.com/hashicorp/yamux":    "host/agent, cmd/nanoclaw-runner, host/wasm",
	// For clients outside. In the runner it would be a quarter of the agents' image.
	"github.com/modelcontextprotocol": "cmd/nanoclaw",
}

// checkArrows compares what the packages import with a table of arrows.
func checkArrows(tree map[string]*pkg, table map[string][]string) (complaints []string) {
	for _, path := range slices.Sorted(maps.Keys(tree)) {
		allowed, listed := table[row(path)]
		if !listed {
			complaints = append(complaints, fmt.Sprintf(
				"package %s is not in the table of arrows: give it a line in host/arch_test.go and a place in DESIGN", path))
			continue
		}
		for _, imp := range tree[path].imports() {
			rel, ours := strings.CutPrefix(imp, module+"/")
			if ours && !slices.Contains(allowed, rel) {
				complaints = append(complaints, fmt.Sprintf(
					"%s imports %s, which its arrows do not allow: take an interface instead, or write the pair into host/arch_test.go",
					path, rel))
			}
		}
	}
	return complaints
}

// checkOwners finds imports of owned libraries elsewhere.
func checkOwners(tree map[string]*pkg, owners map[string]string) (complaints []string) {
	for _, path := range slices.Sorted(maps.Keys(tree)) {
		for _, imp := range tree[path].imports() {
			for _, lib := range slices.Sorted(maps.Keys(owners)) {
				if under(imp, lib) && !slices.Contains(strings.Split(owners[lib], ", "), path) {
					complaints = append(complaints, fmt.Sprintf("%s imports %s: only %s may", path, imp, owners[lib]))
				}
			}
		}
	}
	return complaints
}

// checkStdlibOnly finds imports of path and of what is below it that are neither the
// standard library's nor this module's.
func checkStdlibOnly(tree map[string]*pkg, path string) (complaints []string) {
	for _, p := range slices.Sorted(maps.Keys(tree)) {
		if !under(p, path) {
			continue
		}
		for _, imp := range tree[p].imports() {
			first, _, _ := strings.Cut(imp, "/")
			if strings.Contains(first, ".") && !strings.HasPrefix(imp, module+"/") {
				complaints = append(complaints, fmt.Sprintf("%s imports %s: skills must build with the standard library alone", p, imp))
			}
		}
	}
	return complaints
}

// checkFree finds forbidden packages among the dependencies of a program.
func checkFree(program string, deps, forbidden []string) (complaints []string) {
	for _, d := range deps {
		for _, f := range forbidden {
			if under(d, f) {
				complaints = append(complaints, fmt.Sprintf(
					"%s links %s: the process that holds the keys must neither run nor compile WASM", program, d))
			}
		}
	}
	return complaints
}

// under reports whether an import path is root or below it.
func under(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// row is the line of the table that a package belongs to.
func row(path string) string {
	if strings.HasPrefix(path, "skills/") && !strings.HasPrefix(path, "skills/internal/") {
		return "skills/*"
	}
	return path
}

func report(t *testing.T, complaints []string) {
	t.Helper()
	for _, c := range complaints {
		t.Error(c)
	}
}

func TestArrows(t *testing.T)     { report(t, checkArrows(load(t), arrows)) }
func TestOwners(t *testing.T)     { report(t, checkOwners(load(t), owners)) }
func TestSDKIsSmall(t *testing.T) { report(t, checkStdlibOnly(load(t), "sdk")) }

// TestHostIsFreeOfWASM asks the linker's view, so a library that brings wazero along is found too.
func TestHostIsFreeOfWASM(t *testing.T) {
	for _, program := range []string{"./cmd/nanoclaw", "./host/daemon"} {
		report(t, checkFree(program, deps(t, program), []string{"github.com/tetratelabs/wazero", module + "/host/wasm"}))
	}
}

// TestRunnerHoldsNothing: the runner must not even contain the code of the trusted side.
func TestRunnerHoldsNothing(t *testing.T) {
	for _, d := range deps(t, "./cmd/nanoclaw-runner") {
		if under(d, module+"/host") && d != module+"/host/wasm" {
			t.Errorf("cmd/nanoclaw-runner links %s: of host it may have host/wasm alone", d)
		}
	}
}

// TestNotice: every library that go.mod asks for is named with its licence in NOTICE.
func TestNotice(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	notice, err := os.ReadFile("../NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	report(t, checkNotice(string(mod), string(notice)))
}

func checkNotice(mod, notice string) (complaints []string) {
	for line := range strings.Lines(mod) {
		f := strings.Fields(line)
		if len(f) != 2 || !strings.HasPrefix(line, "\t") { // an indirect one says so in a comment
			continue
		}
		major := regexp.MustCompile(`/v[0-9]+$`)
		if !slices.Contains(strings.Fields(notice), major.ReplaceAllString(f[0], "")) {
			complaints = append(complaints, fmt.Sprintf("NOTICE does not name %s: add it with its licence", f[0]))
		}
	}
	return complaints
}

func TestNoticeBites(t *testing.T) {
	mod := "module m\n\nrequire (\n\texample.com/a v1.0.0\n\texample.com/b/v2 v2.0.0\n\texample.com/c v1.0.0 // indirect\n)\n"
	got := checkNotice(mod, "  example.com/b  MIT\n")
	if len(got) != 1 || !strings.Contains(got[0], "example.com/a") {
		t.Errorf("got %q", got)
	}
}

// TestPackageComments: every package says what it owns and what it must never do.
func TestPackageComments(t *testing.T) { report(t, checkComments(load(t))) }

func checkComments(tree map[string]*pkg) (complaints []string) {
	for _, path := range slices.Sorted(maps.Keys(tree)) {
		if tree[path].doc == "" {
			complaints = append(complaints, fmt.Sprintf(
				"package %s has no package comment: say what it owns and what it must never do", path))
		}
	}
	return complaints
}

// TestRulesBite feeds each rule a tree that breaks it, and one that does not.
func TestRulesBite(t *testing.T) {
	const wazero = "github.com/tetratelabs/wazero"
	table := map[string][]string{"host": {"sdk/wire"}, "host/a": {"host"}, "skills/*": {"sdk"}}
	for _, tc := range []struct {
		name    string
		check   func(map[string]*pkg) []string
		path    string
		imports []string
		want    string // "" = no complaint
	}{
		{"allowed arrow", arrowRule(table), "host/a", []string{module + "/host", "fmt"}, ""},
		{"working packages do not know each other", arrowRule(table), "host/a", []string{module + "/host/b"}, "interface instead"},
		{"unlisted package", arrowRule(table), "host/new", nil, "not in the table"},
		{"skills share a row", arrowRule(table), "skills/calc", []string{module + "/host"}, "skills/calc imports host"},
		{"wazero elsewhere", ownerRule, "host/broker", []string{wazero + "/api"}, "only host/wasm may"},
		{"wazero at home", ownerRule, "host/wasm", []string{wazero + "/api"}, ""},
		{"a name that only begins like it", ownerRule, "host/broker", []string{wazero + "x"}, ""},
		{"docker elsewhere", ownerRule, "cmd/nanoclaw", []string{"github.com/docker/docker/client"}, "only host/container may"},
		{"sdk with a library", sdkRule, "sdk/wire", []string{"golang.org/x/net/html"}, "standard library alone"},
		{"sdk without", sdkRule, "sdk", []string{"encoding/json", module + "/sdk/wire"}, ""},
		{"host links wazero", freeRule, "cmd/nanoclaw", []string{"fmt", wazero}, "links " + wazero},
		{"host links the WASM host", freeRule, "cmd/nanoclaw", []string{module + "/host/wasm"}, "links"},
		{"host links neither", freeRule, "cmd/nanoclaw", []string{module + "/host/wasmless"}, ""},
		{"no package comment", checkComments, "host/a", nil, "no package comment"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := tc.check(map[string]*pkg{tc.path: {path: tc.path, files: []file{{imports: tc.imports}}}})
			if all := strings.Join(got, "\n"); tc.want == "" && all != "" || !strings.Contains(all, tc.want) {
				t.Errorf("got %q, want %q", all, tc.want)
			}
		})
	}
}

func arrowRule(table map[string][]string) func(map[string]*pkg) []string {
	return func(tree map[string]*pkg) []string { return checkArrows(tree, table) }
}
func ownerRule(tree map[string]*pkg) []string { return checkOwners(tree, owners) }
func sdkRule(tree map[string]*pkg) []string   { return checkStdlibOnly(tree, "sdk") }

func freeRule(tree map[string]*pkg) (complaints []string) {
	for path, p := range tree {
		complaints = append(complaints, checkFree(path, p.imports(),
			[]string{"github.com/tetratelabs/wazero", module + "/host/wasm"})...)
	}
	return complaints
}

// deps lists everything a package links, on the machine that tests.
func deps(t *testing.T, pattern string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", pattern)
	cmd.Dir = ".."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v\n%s", pattern, err, stderr.String())
	}
	return strings.Fields(string(out))
}
