// Skill echo is a role's brain for tests: it says how many messages a turn has, what they say, and of what
// size the files are that came with them. Asked for a file it sends one; asked to, it tells Bob.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
)

func init() {
	sdk.Agent(func(t sdk.Turn) (sdk.Reply, error) {
		var said []string
		for _, m := range t.Messages {
			line := m.Sender + ": " + m.Text
			for _, name := range m.Files {
				b, err := os.ReadFile("/workspace/" + name)
				if err != nil {
					return sdk.Reply{}, err
				}
				line += fmt.Sprintf(" (read %d bytes)", len(b))
			}
			said = append(said, line)
			if strings.Contains(m.Text, "tell Bob") {
				_, err := sdk.Send(sdk.Chat{Channel: "whatsapp", Chat: "+15550000003"}, "You are told.")
				said = append(said, fmt.Sprint("told Bob: ", err))
			}
			if strings.Contains(m.Text, "a file, please") {
				if err := os.WriteFile("/workspace/report.txt", []byte("All is well."), 0o600); err != nil {
					return sdk.Reply{}, err
				}
				if _, err := sdk.SendFile("report.txt", "Here."); err != nil {
					return sdk.Reply{}, err
				}
			}
		}
		return sdk.Reply{Text: fmt.Sprintf("%d heard; %s", len(said), strings.Join(said, "; "))}, nil
	})
}

func main() {}
