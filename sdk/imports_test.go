package sdk_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/sdk/module"
)

// TestImportsFollowUse builds a skill for each capability: the module imports what
// the skill calls and no other capability, however much of the sdk is linked.
func TestImportsFollowUse(t *testing.T) {
	for use, want := range map[string][]string{
		`return "", nil`: nil,
		`_, err := sdk.HTTP(sdk.Request{URL: "https://x"}); return "", err`: {"nanoclaw_http_1"},
		`_, err := sdk.LLM(sdk.LLMRequest{}); return "", err`:               {"nanoclaw_llm_1"},
		`return sdk.KVGet("k")`: {"nanoclaw_kv_1"},
		`_, err := sdk.History(sdk.HistoryRequest{}); return "", err`:    {"nanoclaw_history_1"},
		`_, err := sdk.CallTools(nil); return "", err`:                   {"nanoclaw_tool_1"},
		`_, err := sdk.Tasks(sdk.TaskRequest{}); return "", err`:         {"nanoclaw_task_1"},
		`sdk.Log(sdk.LevelInfo, sdk.Workspace()); return "", nil`:        nil,
		`_, err := sdk.CallTool("t", sdk.KVDelete("k")); return "", err`: {"nanoclaw_kv_1", "nanoclaw_tool_1"},
	} {
		var got []string
		for _, i := range buildSkill(t, use).Imports {
			if strings.HasPrefix(i.Module, "nanoclaw_") && i.Module != "nanoclaw_core_1" && !slices.Contains(got, i.Module) {
				got = append(got, i.Module)
			}
		}
		slices.Sort(got)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: imports %q, want %q", use, got, want)
		}
	}
}

func buildSkill(t *testing.T, body string) *module.Info {
	t.Helper()
	dir, err := os.MkdirTemp(".", "_skill-") // inside the module, so that it finds the sdk
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	src := `package main

import "github.com/nanoclaw/nanoclaw/sdk"

func init() { sdk.Tool("t", func(sdk.Context, struct{}) (string, error) { ` + body + ` }) }

func main() {}
`
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "skill.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w -buildid=", "-o", out, "./"+dir)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", body, err, b)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	info, err := module.Scan(wasm)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
