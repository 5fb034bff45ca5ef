// Command keeper keeps what it is told, everywhere that a skill of one agent can.
package main

import (
	"fmt"
	"os"

	"github.com/nanoclaw/nanoclaw/sdk"
)

type in struct {
	Text string `json:"text"`
}

func init() {
	sdk.Tool("put", func(_ sdk.Context, i in) (string, error) {
		sdk.Log(sdk.LevelWarn, i.Text)
		fmt.Fprintln(os.Stderr, i.Text)
		for _, name := range []string{"MEMORY.md", "secret.txt", "notes.md"} {
			if err := os.WriteFile(sdk.Workspace()+"/"+name, []byte(i.Text), 0o600); err != nil {
				return "", err
			}
		}
		return "kept", sdk.KVPut("secret", i.Text)
	})
	sdk.Tool("get", func(sdk.Context, struct{}) (string, error) { return sdk.KVGet("secret") })
}

func main() {}
