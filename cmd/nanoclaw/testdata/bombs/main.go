// Command bombs is a skill that uses up what it is told to.
package main

import (
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
)

type in struct {
	Kind string `json:"kind"`
}

var (
	keep  [][]byte
	block = make([]byte, 16<<20)
)

func recurse(n int) int { return recurse(n+1) + recurse(n+2) }

func init() {
	sdk.Tool("bombs", func(_ sdk.Context, i in) (string, error) {
		switch i.Kind {
		case "loop":
			for {
			}
		case "recursion":
			recurse(0)
		case "bulk": // nothing but memory.fill and memory.copy of 16 MiB
			for {
				clear(block)
				copy(block[1:], block)
			}
		case "grow":
			for {
				keep = append(keep, make([]byte, 1<<20))
			}
		case "log": // a GB, cut in the middle of a rune
			line := strings.Repeat("é", 1<<19)[:1<<20-1]
			for range 1000 {
				sdk.Log(sdk.LevelInfo, line)
			}
		case "output":
			return strings.Repeat("x", 40<<20), nil
		case "calls":
			for {
				sdk.KVList("", 1000)
				sdk.KVPut("k", strings.Repeat("v", 1<<20))
			}
		}
		return "nothing", nil
	})
}

func main() {}
