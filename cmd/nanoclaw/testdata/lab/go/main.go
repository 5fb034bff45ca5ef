// The lab in Go: what it reports is the same in every language.
package main

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
)

type input struct {
	URL   string `json:"url"`
	Other string `json:"other"`
}

func init() {
	sdk.Tool("lab", lab)
	sdk.Tool("echo", func(_ sdk.Context, v sdk.RawMessage) (sdk.RawMessage, error) { return v, nil })
	sdk.Tool("fail", func(sdk.Context, struct{}) (string, error) { return "", errors.New("it was asked to fail") })
}

func lab(c sdk.Context, in input) (string, error) {
	var out []string
	report := func(what string, f func() (string, error)) {
		got, err := f()
		if err != nil {
			got = kind(err)
		}
		out = append(out, what+": "+got)
	}
	get := func(url string) func() (string, error) {
		return func() (string, error) {
			r, err := sdk.HTTP(sdk.Request{Method: "POST", URL: url, Header: map[string]string{"X-Lab": "1"}, Body: []byte("ping")})
			if err != nil {
				return "", err
			}
			return strconv.Itoa(r.Status) + " " + string(r.Body) + " " + r.Get("x-answer"), nil
		}
	}
	report("http", get(in.URL))
	report("elsewhere", get(in.Other))
	report("kv", kv)
	report("no key", func() (string, error) { return sdk.KVGet("never") })
	report("llm", func() (string, error) {
		hi := sdk.LLMMessage{Role: "user", Content: []sdk.Block{{Type: "text", Text: "hi"}}}
		a, err := sdk.LLM(sdk.LLMRequest{System: "s", Messages: []sdk.LLMMessage{hi}})
		if err != nil {
			return "", err
		}
		return strconv.FormatBool(sdk.Text(a.Content) != ""), nil
	})
	report("tool", func() (string, error) {
		o, err := sdk.CallTool("lab_fail", struct{}{})
		return o.Outcome, err
	})
	report("fs", files)
	sdk.Log(sdk.LevelWarn, "a line of the log")
	return strings.Join(append(out, c.Tool+" "+c.Timezone), "\n"), nil
}

func kv() (string, error) {
	for _, k := range []string{"a1", "a2", "b"} {
		if err := sdk.KVPut(k, "value of "+k); err != nil {
			return "", err
		}
	}
	if err := sdk.KVDelete("a1"); err != nil {
		return "", err
	}
	v, err := sdk.KVGet("a2")
	if err != nil {
		return "", err
	}
	keys, err := sdk.KVList("a", 5)
	return v + " " + strings.Join(keys, ","), err
}

func files() (string, error) {
	dir := sdk.Workspace() + "/d"
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(dir+"/f.txt", []byte("one "), 0o644); err != nil {
		return "", err
	}
	f, err := os.OpenFile(dir+"/f.txt", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	if _, err := f.WriteString("two"); err != nil {
		return "", err
	}
	f.Close()
	b, err := os.ReadFile(dir + "/f.txt")
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		return "", err
	}
	_, gone := os.ReadFile(dir + "/gone")
	return string(b) + " " + entries[0].Name() + " " + kind(gone), os.Remove(dir + "/f.txt")
}

func kind(err error) string {
	switch {
	case errors.Is(err, sdk.ErrDenied), strings.Contains(err.Error(), "Capabilities insufficient"): // WASI's own word
		return "denied"
	case errors.Is(err, sdk.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return "not_found"
	}
	var e *sdk.Error
	if errors.As(err, &e) {
		return e.Status.String()
	}
	return err.Error()
}

func main() {}
