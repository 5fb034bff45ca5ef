// Command is a plain WASI command, the same as main.c and main.rs.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	if len(os.Args) == 3 && os.Args[1] == "cat" {
		if text, err = os.ReadFile(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "looking\ncannot read", os.Args[2])
			os.Exit(3)
		}
	}
	fmt.Printf("%s: %s", strings.Join(os.Args, "|"), text)
}
