package main

import (
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
)

func TestFind(t *testing.T) {
	h := sdktest.New(t)
	var asked sdk.HistoryRequest
	answer := []sdk.ChatMessage{
		{Role: "assistant", Text: "In the cupboard.", Time: "2026-11-23T17:05:10.000Z"},
		{Role: "user", Sender: "Ada", Text: "Where is the teapot?", Time: "2026-11-23T17:05:09.120Z"},
	}
	h.History = func(r sdk.HistoryRequest) ([]sdk.ChatMessage, error) {
		asked = r
		return answer[:min(len(answer), r.Limit)], nil
	}
	const both = "2026-11-23T17:05:10.000Z  assistant: In the cupboard.\n2026-11-23T17:05:09.120Z  Ada: Where is the teapot?"
	for _, c := range []struct {
		tool string
		in   input
		want string
		ask  sdk.HistoryRequest
	}{
		{"search", input{Query: "teapot"}, both, sdk.HistoryRequest{Query: "teapot", Limit: 10}},
		{"recent", input{Query: "is left out", Limit: 1000}, both, sdk.HistoryRequest{Limit: 50}},
		{
			"recent",
			input{Limit: 2, Before: "2026-11-24T00:00:00Z"},
			both + "\n(For what is older, give before = 2026-11-23T17:05:09.120Z.)",
			sdk.HistoryRequest{Limit: 2, Before: "2026-11-24T00:00:00Z"},
		},
	} {
		if r := h.Call(c.tool, c.in); r.IsError || r.Text() != c.want || asked != c.ask {
			t.Errorf("%s %+v: %q after %+v", c.tool, c.in, r.Text(), asked)
		}
	}
	answer = nil
	if got := h.Call("search", input{Query: "x"}).Text(); got != `No earlier message contains "x".` {
		t.Errorf("nothing found: %q", got)
	}
	if got := h.Call("recent", nil).Text(); got != "There are no earlier messages." {
		t.Errorf("nothing there: %q", got)
	}
}

func TestRefusals(t *testing.T) {
	h := sdktest.New(t)
	if r := h.Call("search", input{Query: " "}); !r.IsError || r.Text() != "there is no word to search for" {
		t.Errorf("%+v", r)
	}
	if r := h.Call("recent", nil); !r.IsError || !strings.Contains(r.Text(), "history is not granted") {
		t.Errorf("%+v", r)
	}
}
