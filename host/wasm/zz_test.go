package wasm
import ("testing";"context";"time";"fmt";"slices";"github.com/nanoclaw/nanoclaw/sdk/wire")
func TestZZ(t *testing.T){
 for _, d := range []string{"calcw","calcw"} {
 sp := spec("calc", "/root/w/"+d)
 e := one(t, sp)
 var took []time.Duration
 for i:=0;i<300;i++{
  e.preparing.Wait()
  t0:=time.Now()
  out := e.Tool(context.Background(), wire.ToolCall{Name:"calc", Arguments: []byte(`{"expression":"6*7"}`)})
  took = append(took, time.Since(t0)); if out.Outcome != "ok" { t.Fatal(out) }
 }
 slices.Sort(took); fmt.Println(d, took[30], took[150], took[270])
 }
}
