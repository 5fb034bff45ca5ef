package sdk_test

import (
	"fmt"
	"testing"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// A tool that asks the web. skill.toml declares the tool, and the capability http.
func ExampleTool() {
	type input struct {
		City string `json:"city"`
	}
	type output struct {
		Sky string `json:"sky"`
	}
	sdk.Tool("forecast", func(_ sdk.Context, in input) (output, error) {
		var out output
		r, err := sdk.HTTP(sdk.Request{URL: "https://api.example.com/v1/sky?city=" + in.City})
		if err != nil {
			return out, err
		}
		return out, sdk.Unmarshal(r.Body, &out)
	})

	// What follows is the skill's test.
	run(func(t testing.TB) {
		h := sdktest.New(t)
		h.HTTP = func(sdk.Request) (*sdk.Response, error) {
			return &sdk.Response{Status: 200, Body: []byte(`{"sky":"clear"}`)}, nil
		}
		fmt.Println(h.Call("forecast", input{City: "Oslo"}).Text())
	})
	// Output: {"sky":"clear"}
}

// A brain of its own for a role: no tools, one question to the model.
func ExampleAgent() {
	sdk.Agent(func(t sdk.Turn) (sdk.Reply, error) {
		answer, err := sdk.LLM(sdk.LLMRequest{
			System:   sdk.System(t) + "\nAnswer as a pirate would.",
			Messages: sdk.Conversation(t),
		})
		if err != nil {
			return sdk.Reply{}, err
		}
		return sdk.Reply{Text: sdk.Text(answer.Content)}, nil
	})

	// What follows is the skill's test.
	run(func(t testing.TB) {
		h := sdktest.New(t)
		h.LLM = func(r sdk.LLMRequest) (*sdk.LLMResponse, error) {
			return &sdk.LLMResponse{Content: []sdk.Block{{Type: wire.BlockText, Text: "Arr, " + sdk.Text(r.Messages[0].Content)}}}, nil
		}
		fmt.Println(h.Reply(sdk.Turn{Messages: []sdk.ChatMessage{{Role: wire.RoleUser, Text: "hello"}}}))
	})
	// Output: Arr, hello <nil>
}

// run lends an example the testing.TB that a test has.
func run(f func(testing.TB)) {
	testing.Benchmark(func(b *testing.B) {
		if b.N == 1 {
			f(b)
		}
	})
}
