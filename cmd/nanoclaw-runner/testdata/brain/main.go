//go:build wasip1

// Command brain is a skill agent and a tool in one module, for the tests of the runner.
package main

import "github.com/nanoclaw/nanoclaw/sdk"

func main() {}

type input struct {
	Text string `json:"text"`
}

func init() {
	sdk.Tool("echo", func(_ sdk.Context, in input) (string, error) {
		if err := sdk.KVPut("last", in.Text); err != nil {
			return "", err
		}
		return "echo " + in.Text, nil
	})
	sdk.Tool("spin", func(sdk.Context, input) (string, error) {
		for n := 0; ; n++ {
			if n < 0 {
				return "", nil
			}
		}
	})
	sdk.Agent(func(t sdk.Turn) (sdk.Reply, error) {
		a, err := sdk.LLM(sdk.LLMRequest{System: t.System, Messages: sdk.Conversation(t)})
		if err != nil {
			return sdk.Reply{}, err
		}
		out, err := sdk.CallTool("tools_echo", input{sdk.Text(a.Content)})
		if err != nil {
			return sdk.Reply{}, err
		}
		return sdk.Reply{Text: out.Result.Text()}, nil
	})
}
