// Skill courier is a role's brain for the crash harness: it asks the model once, then orders what
// each message names at the address that the message names, and says what came of it.
package main

import (
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func init() {
	sdk.Agent(func(t sdk.Turn) (sdk.Reply, error) {
		var all strings.Builder
		for _, m := range t.Messages {
			all.WriteString(m.Text + "\n")
		}
		if _, err := sdk.LLM(sdk.LLMRequest{Messages: []sdk.LLMMessage{
			{Role: wire.RoleUser, Content: []sdk.Block{{Type: wire.BlockText, Text: all.String()}}},
		}}); err != nil {
			return sdk.Reply{}, err
		}
		var said []string
		for _, m := range t.Messages {
			what, where, _ := strings.Cut(m.Text, " ")
			where, _, _ = strings.Cut(where, "\n") // its file is named below
			r, err := sdk.HTTP(sdk.Request{Method: "POST", URL: where, Body: []byte(what)})
			if err != nil {
				said = append(said, what+": "+err.Error())
			} else {
				said = append(said, what+": "+string(r.Body))
			}
			if err := sdk.KVPut(what, "ordered"); err != nil {
				return sdk.Reply{}, err
			}
		}
		return sdk.Reply{Text: strings.Join(said, "; ") + "; "}, nil
	})
}

func main() {}
