// Runner stands in for nanoclaw-runner and misbehaves on request: the text of a turn's
// first message, or the content of a module to admit, says how.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

type stdio struct{}

func (stdio) Read(p []byte) (int, error)  { return os.Stdin.Read(p) }
func (stdio) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (stdio) Close() error                { return os.Stdin.Close() }

var (
	session *yamux.Session
	loaded  wire.Load
	turns   int
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "admit" {
		admit(os.Args[2], os.Args[3])
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "sleep" {
		time.Sleep(time.Hour)
	}
	cfg := yamux.DefaultConfig()
	cfg.EnableKeepAlive = false
	cfg.LogOutput = io.Discard
	var err error
	if session, err = yamux.Server(stdio{}, cfg); err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc(wire.PathLoad, load)
	mux.HandleFunc(wire.PathTurn, turn)
	mux.HandleFunc(wire.PathTool, tool)
	http.Serve(session, mux)
}

func load(w http.ResponseWriter, r *http.Request) {
	json.NewDecoder(r.Body).Decode(&loaded)
	switch {
	case strings.Contains(loaded.Agent, "badload"):
		fmt.Fprint(w, `{"skills":1,"surprise":true}`)
		return
	case strings.Contains(loaded.Agent, "bigload"):
		io.CopyN(w, zeros{}, 1<<30)
		return
	case strings.Contains(loaded.Agent, "noload"):
		http.Error(w, "no\x1b[2J way", http.StatusTeapot)
		return
	case strings.Contains(loaded.Agent, "dieload"):
		os.Exit(3)
	}
	json.NewEncoder(w).Encode(wire.Loaded{Skills: len(loaded.Skills), Warm: loaded.Warm, Refused: []string{"x: \x1b[2J"}})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte("0"), len(p))), nil }

func say(w http.ResponseWriter, e wire.Event) {
	b, _ := json.Marshal(e)
	w.Write(append(b, '\n'))
	http.NewResponseController(w).Flush()
}

func reply(w http.ResponseWriter, text string, used ...string) {
	say(w, wire.Event{Type: wire.EventReply, Text: text, Used: used})
}

func turn(w http.ResponseWriter, r *http.Request) {
	var in wire.Turn
	json.NewDecoder(r.Body).Decode(&in)
	verb, arg, _ := strings.Cut(in.Messages[0].Text, " ")
	turns++
	switch verb {
	case "echo":
		reply(w, arg)
	case "slow":
		d, _ := time.ParseDuration(arg)
		time.Sleep(d)
		reply(w, "slept")
	case "turns": // how many this process has answered
		reply(w, fmt.Sprint(os.Getpid(), turns))
	case "used":
		reply(w, "ok", strings.Fields(arg)...)
	case "warm":
		reply(w, strings.Join(loaded.Warm, " "))
	case "load":
		b, _ := json.Marshal(loaded)
		reply(w, string(b))
	case "memory":
		reply(w, in.Memory)
	case "progress":
		say(w, wire.Event{Type: wire.EventProgress, Stage: "tool", Name: "calc"})
		say(w, wire.Event{Type: wire.EventProgress, Stage: "tool", Name: "no \x1b such"})
		say(w, wire.Event{Type: wire.EventProgress, Stage: "model"})
		say(w, wire.Event{Type: wire.EventProgress, Stage: "party"})
		reply(w, "done")
	case "fail":
		say(w, wire.Event{Type: wire.EventError, Outcome: arg, Message: "because \x1b[2J" + strings.Repeat("x", 5000)})
	case "write":
		reply(w, fmt.Sprint(os.WriteFile(filepath.Join(loaded.Skills[0].Preopens[0].Path, arg), []byte(arg), 0o600)))
	case "cap":
		reply(w, capability(arg))
	case "lateCap": // asks the host again and again after the reply
		reply(w, "bye")
		for {
			capability("late")
		}
	case "exit":
		fmt.Fprintln(os.Stderr, "dying words")
		os.Exit(9)
	case "oom":
		var keep [][]byte
		for {
			keep = append(keep, bytes.Repeat([]byte("x"), 8<<20))
		}
	case "fork": // in containers alone
		if os.Getpid() != 1 {
			return
		}
		n := 0
		for ; n < 200; n++ {
			if exec.Command("/proc/self/exe", "sleep").Start() != nil {
				break
			}
		}
		reply(w, fmt.Sprint(n))
	case "never":
		select {}
	case "silent": // ends without a reply
	case "garbage":
		os.Stdout.Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 1<<10))
		select {}
	case "pings":
		ping := []byte{0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}
		for {
			os.Stdout.Write(bytes.Repeat(ping, 1000))
		}
	case "streams": // leaves half-closed streams behind
		for {
			c, err := session.Open()
			if err != nil {
				select {}
			}
			go func(c net.Conn) { io.WriteString(c, "nonsense\r\n\r\n"); io.Copy(io.Discard, c) }(c)
		}
	case "endless":
		for {
			say(w, wire.Event{Type: wire.EventProgress, Stage: "model"})
		}
	case "long":
		w.Write([]byte(`{"type":"reply","text":"`))
		io.CopyN(w, zeros{}, 1<<30)
	case "bigreply":
		reply(w, strings.Repeat("x", wire.MaxReply+1))
	case "unknown":
		fmt.Fprintln(w, `{"type":"reply","text":"x","role":"main"}`)
	case "nojson":
		fmt.Fprintln(w, `hello`)
	case "status":
		w.WriteHeader(http.StatusTeapot)
		io.CopyN(w, zeros{}, 1<<30)
	case "header":
		w.Header().Set("X", strings.Repeat("x", 1<<20))
		reply(w, "x")
	case "redirect":
		http.Redirect(w, r, "http://example.com/", http.StatusTemporaryRedirect)
	}
}

func capability(body string) string {
	client := http.Client{Transport: &http.Transport{Dial: func(string, string) (net.Conn, error) { return session.Open() }}}
	resp, err := client.Post("http://host"+wire.PathCap+"kv", "application/json", strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return fmt.Sprint(resp.StatusCode, " ", string(b))
}

func tool(w http.ResponseWriter, r *http.Request) {
	var in wire.ToolCall
	json.NewDecoder(r.Body).Decode(&in)
	b, _ := json.Marshal(loaded)
	json.NewEncoder(w).Encode(wire.ToolOutcome{Outcome: wire.OutcomeOK, Result: wire.TextResult(in.Name + " " + string(b))})
}

func admit(in, out string) {
	b, err := os.ReadFile(in)
	if err != nil {
		panic(err)
	}
	answer := `{"ok":true,"size":3}`
	os.WriteFile(filepath.Join(out, "skill.wasm"), []byte("ok!"), 0o600)
	os.Mkdir(filepath.Join(out, "cache"), 0o700)
	os.WriteFile(filepath.Join(out, "cache", "x"), []byte("code"), 0o600)
	switch string(b) {
	case "refuse":
		answer = `{"ok":false,"error":"function 3 has 4294967295 locals \u001b[2J"}`
	case "symlink":
		os.Symlink("/etc/passwd", filepath.Join(out, "cache", "y"))
	case "fifo":
		syscall.Mkfifo(filepath.Join(out, "fifo"), 0o600)
	case "many":
		for i := range 1000 {
			os.WriteFile(filepath.Join(out, fmt.Sprint(i)), nil, 0o600)
		}
	case "sparse":
		os.Truncate(filepath.Join(out, "skill.wasm"), 10<<30)
	case "oom":
		var keep [][]byte
		for {
			keep = append(keep, bytes.Repeat([]byte("x"), 64<<20))
		}
	case "panic":
		panic("bad module")
	case "lie":
		answer = `{"ok":true,"trust":"me"}`
	case "flood":
		io.CopyN(os.Stdout, zeros{}, 1<<30)
	case "slow":
		time.Sleep(time.Hour)
	}
	fmt.Println(answer)
}
