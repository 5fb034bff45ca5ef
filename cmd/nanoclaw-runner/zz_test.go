package main
import ("testing";"fmt";"time";"encoding/json";"github.com/nanoclaw/nanoclaw/sdk/wire";"os")
func TestZZ(t *testing.T){
 h := start(t)
 rss := func() string { resp,_ := h.client.Get("http://runner"+wire.PathHealth); var x wire.Health; json.NewDecoder(resp.Body).Decode(&x); b,_ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", h.cmd.Process.Pid)); s:=string(b); _ = s; return fmt.Sprintf("%.1fMB", float64(x.RSS)/1e6) }
 fmt.Println("idle", rss())
 all := []string{"llm","kv","tool","http","fs"}
 set := wire.Load{Agent:"a",Brain:"assistant",Timezone:"UTC"}
 for _, n := range []string{"assistant","calc","time","notes","fetch"} { set.Skills = append(set.Skills, wire.LoadSkill{Name:n, Dir:"/root/w/"+n, Tools: []wire.Tool{{Name:n}}, Granted: all, MemoryMiB:64}) }
 t0:=time.Now()
 fmt.Println(h.post(wire.PathLoad, set))
 fmt.Println("load assistant", time.Since(t0), rss())
 b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", h.cmd.Process.Pid)); fmt.Println(string(b))
 for _, c := range []string{`{"name":"calc","arguments":{"expression":"6*7"}}`,`{"name":"calc","arguments":{"expression":"6*7"}}`,`{"name":"calc","arguments":{"expression":"6*7"}}`,`{"name":"time","arguments":{}}`,`{"name":"notes"}`,`{"name":"fetch"}`} {
 t0=time.Now(); _,out := h.post(wire.PathTool, []byte(c)); fmt.Println(time.Since(t0), rss(), out[:min(len(out),150)]) }
}
