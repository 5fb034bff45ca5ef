// Skill history finds what was said with its agent before. It has the capability history, which
// reaches no other agent's conversations, and keeps nothing.
package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const (
	someLimit = 10 // messages of an answer unless asked for another number
	maxLimit  = 50
)

type input struct {
	Query  string `json:"query"`
	Before string `json:"before"`
	Limit  int    `json:"limit"`
}

func init() {
	sdk.Tool("search", search)
	sdk.Tool("recent", recent)
}

func main() {}

func search(_ sdk.Context, in input) (string, error) {
	if strings.TrimSpace(in.Query) == "" {
		return "", errors.New("there is no word to search for")
	}
	return find(in, "No earlier message contains "+strconv.Quote(in.Query)+".")
}

func recent(_ sdk.Context, in input) (string, error) {
	in.Query = ""
	return find(in, "There are no earlier messages.")
}

func find(in input, none string) (string, error) {
	if in.Limit <= 0 {
		in.Limit = someLimit
	}
	in.Limit = min(in.Limit, maxLimit)
	found, err := sdk.History(sdk.HistoryRequest{Query: in.Query, Before: in.Before, Limit: in.Limit})
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return none, nil
	}
	var b strings.Builder
	for _, m := range found {
		who := m.Sender
		switch {
		case m.Role == wire.RoleAssistant:
			who = "assistant"
		case who == "":
			who = "user"
		}
		b.WriteString(m.Time + "  " + who + ": " + m.Text + "\n")
	}
	if len(found) == in.Limit {
		b.WriteString("(For what is older, give before = " + found[len(found)-1].Time + ".)")
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}
