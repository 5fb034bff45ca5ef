package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

const setupText = `NanoClaw works without an account: the offline model matches commands and example
phrases. To connect a language model:

  1. Put the key where only you can read it: an environment variable of the host, a file of
     mode 0600, or a command that prints it. Never in nanoclaw.toml: that is refused.
  2. Say where it is, in %s:

       [providers.anthropic]
       api_key = { env = "ANTHROPIC_API_KEY" }     # or { file = "…" }, { command = ["…"] }

     or, for a server on this machine such as Ollama, which needs no key:

       [providers.ollama]
       kind = "openai"                             # the protocol that it speaks
       base_url = "http://127.0.0.1:11434/v1"
       [model]
       name = "…"                                  # one of its models

  3. nanoclaw check     says what each role can then reach, the model included
     nanoclaw chat      asks it

'nanoclaw doctor' checks Docker, the image and a live agent container.
`

// setupCmd prints how to connect a model. The guided way in comes with its own issue.
func (a *app) setupCmd() *cobra.Command {
	return &cobra.Command{
		Use: "setup", Short: "Say how to connect a language model", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path := "nanoclaw.toml"
			if cfg, err := a.loadConfig(); err == nil {
				path = cfg.Path
			}
			fmt.Fprintf(a.stdout, setupText, path)
			return nil
		},
	}
}
