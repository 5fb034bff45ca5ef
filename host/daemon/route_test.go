package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
)

// TestRoutesInForce: nanoclaw.toml wins for the same chat, a row without its role is not used, and the
// console reaches main in the end.
func TestRoutesInForce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nanoclaw.toml")
	text := "[roles.main]\n[roles.web]\n[[routes]]\nchannel = 'whatsapp'\nchat = 'a'\nrole = 'main'\n" +
		"[[routes]]\nchannel = 'whatsapp'\nchat = '*'\nrole = 'web'\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, config.Overrides{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	got := routes(cfg, []host.RouteRow{
		{Channel: "whatsapp", Chat: "a", Role: "web"},
		{Channel: "whatsapp", Chat: "b", Role: "gone"},
		{Channel: "whatsapp", Chat: "c", Role: "web", Engage: host.EngageMention, Trigger: "@x"},
		{Channel: "console", Chat: "d", Role: "web"},
	})
	all := ""
	for _, r := range got {
		all += r.Channel + " " + string(r.Chat) + " " + string(r.Role) + " " + string(r.Engage) + ", "
	}
	want := "whatsapp a main always, whatsapp * web always, whatsapp c web mention, console d web always, console * main , "
	if all != want {
		t.Errorf("got  %s\nwant %s", all, want)
	}
	if len(cfg.Routes) != 2 {
		t.Error("the configuration was changed")
	}
}
