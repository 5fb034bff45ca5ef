// Skill echo is a role's brain for tests: it says how many messages a turn has, and what they say.
package main

import (
	"fmt"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
)

func init() {
	sdk.Agent(func(t sdk.Turn) (sdk.Reply, error) {
		var said []string
		for _, m := range t.Messages {
			said = append(said, m.Sender+": "+m.Text)
		}
		return sdk.Reply{Text: fmt.Sprintf("%d heard; %s", len(said), strings.Join(said, "; "))}, nil
	})
}

func main() {}
