package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
)

// dirs makes directories below home; a name "a -> b" is a symlink.
func dirs(t *testing.T, home string, names ...string) {
	t.Helper()
	for _, name := range names {
		name, to, isLink := strings.Cut(name, " -> ")
		path := filepath.Join(home, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil && isLink {
			err = os.Symlink(strings.ReplaceAll(to, "~", home), path)
		} else if err == nil {
			err = os.MkdirAll(path, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func mounting(paths ...string) string {
	var tables []string
	for i, p := range paths {
		mode := "ro"
		if rest, ok := strings.CutPrefix(p, "rw "); ok {
			p, mode = rest, "rw"
		}
		tables = append(tables, fmt.Sprintf("{ path = %q, name = \"m%d\", mode = %q }", p, i, mode))
	}
	return "mounts = [ " + strings.Join(tables, ", ") + " ]\n"
}

// TestOriginalMountTable is the table of the original's mount allow-list, with our answers.
// Its list lets every root be "~/projects" or "~/Documents/work", of which one is missing.
func TestOriginalMountTable(t *testing.T) {
	home := clean(t)
	dirs(t, home, "projects/app/.ssh", "projects/my.environment", "projects2", "other", "Documents/work",
		"projects/link-out -> /etc", "projects/link-other -> ~/other", "projects/link-app -> app")
	write(t, filepath.Join(home, "projects/file.txt"), "")
	for _, tc := range []struct{ path, want string }{ // want: "" = allowed
		{"~/projects/app", ""},
		{"rw ~/projects/app", ""},
		{"~/projects", ""},
		{"~/Documents/work", ""},
		{"rw ~/Documents/work", ""}, // the original makes it read-only by its root; here the mount says what it is
		{"~/projects/link-app", ""},
		{"~/projects2", "outside of "},
		{"~/other", "outside of "},
		{"~/projects/../other", "outside of "},
		{"~", "whole home directory"},
		{"~/projects/link-out", "belongs to the system"},
		{"~/projects/link-other", home + "/other, outside of "},
		{"~/projects/app/.ssh", "has \".ssh\" in it"},
		{"~/projects/my.environment", ""}, // the original refuses it, as ".env" is in the name
		{"~/projects/nope", "no such file"},
		{"~/missing-root/x", "no such file"},
		{"~user/x", "must be an absolute path, or begin with ~/"},
		{"~/projects/file.txt", "not a directory"}, // the original allows files; a runner's preopens are directories
		{"/", "whole home directory"},
	} {
		const allow = "[mounts]\nallow = ['~/projects', '~/Documents/work', '~/missing-root']\n[roles.r]\n"
		c, err := parse(allow+mounting(tc.path), "/x.toml", Overrides{})
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", tc.path, err, tc.want)
		}
		if err == nil && c.Roles["r"].Mounts[0].Write != strings.HasPrefix(tc.path, "rw") {
			t.Errorf("%s: %+v", tc.path, c.Roles["r"].Mounts)
		}
	}
	// A list that cannot be read allows nothing, neither what is in it nor anything else.
	for _, allow := range []string{"'~/projects'", "[1]", "{}", "['~']", "['/']", "['~/Documents']", "['projects']", "['']", "['~/.ssh']"} {
		if _, err := parse("mounts.allow = "+allow+"\n[roles.r]\n"+mounting("~/projects/app"), "/x.toml", Overrides{}); err == nil {
			t.Errorf("allow = %s is taken", allow)
		}
	}
	if _, err := parse("mounts.allow = []\n[roles.r]\n"+mounting("~/projects/app"), "/x.toml", Overrides{}); err == nil {
		t.Error("an empty list allows something")
	}
}

// TestRefusedMounts: what no list allows. Everything here exists, as far as this machine has it.
func TestRefusedMounts(t *testing.T) {
	home := clean(t)
	const (
		much, sys, login, keys = "too much at once", "belongs to the system", "programs keep logins", "keys or logins are kept"
	)
	dirs(t, home, "in/deep/deeper", "alias -> in", "out -> /usr", "state -> .local/state/nanoclaw", "Dokumente/a", "a.env/b", "environment",
		"Keys/.SSH/x", "hidden -> ~/.aws", ".aws", "app/.env.production", "app/.env.example", ".notes/x", "x/.config", "up -> in/..",
		"x/.kube -> ~/in/deep")
	write(t, filepath.Join(home, ".config/user-dirs.dirs"), "XDG_DOCUMENTS_DIR=\"$HOME/Dokumente\"\nXDG_MUSIC_DIR=\"$HOME/in\"\n")
	write(t, filepath.Join(home, "file"), "")
	t.Setenv("NANOCLAW_STATE", filepath.Join(home, "in", "state"))
	rows := map[string]string{
		"": "must be an absolute path", "in/deep": "must be an absolute path", "~/nowhere": "no such file", "~/file": "not a directory",
		"~/file/x": "not a directory",
		"/":        "whole home", "~": "whole home", "~/": "whole home", home + "/in/..": "whole home", "~/up": "whole home",
		filepath.Dir(home): "whole home", "~/out": sys, "/proc/self": sys, "/dev/shm": sys, "/etc": sys, "/etc/ssl": sys, "/usr/share": sys,
		"/root": sys, "/boot": sys, "/var/lib": sys, "/var/log": sys, "/home": much, "/opt": much, "/srv": much, "/var": much, "/var/tmp": much,
		"~/in": "holds " + home + "/in/state", "~/alias": "holds " + home + "/in/state",
		"~/.notes": much, "~/.notes/x": "", "~/in/deep": "", "~/alias/deep": "", "~/Dokumente": much, "~/Dokumente/a": "",
		"~/.config/x": login, "~/.config": login, "~/x/.config": "",
		"~/.aws": keys, "~/x/.kube": keys, "~/hidden": keys, "~/Keys/.SSH/x": keys, "~/app/.env.production": keys, "~/app/.env.example": "",
		"~/a.env/b": "", "~/environment": "",
	}
	for _, p := range []string{
		"Documents", "desktop", "Downloads", "Library", "Library/Mobile Documents", "Dropbox", ".local", ".local/share", ".local/state", ".cache", ".ssh2",
	} {
		rows["~/"+p], rows["~/"+p+"/in"] = much, ""
	}
	delete(rows, "~/Library/Mobile Documents/in") // its own row below
	for _, p := range []string{".local/in", ".ssh2/in", ".cache/in"} {
		rows["~/"+p] = ""
	}
	for _, p := range []string{"Library/Keychains", "Library/Application Support/Firefox", ".config/gh"} {
		rows["~/"+p] = login
	}
	rows["~/Library/Keychains"] = keys
	for _, name := range strings.Fields(".ssh .gnupg .gpg .aws .azure .gcloud .kube .docker credentials .env .netrc .npmrc .pypirc id_rsa " +
		"id_ed25519 private_key .secret .password-store .mozilla .claude") {
		rows["~/work/"+name], rows["~/work/"+strings.ToUpper(name)+"/sub"], rows["~/work/x"+name+"x"] = keys, keys, ""
	}
	for path, want := range rows {
		if rest, inHome := strings.CutPrefix(path, "~/"); inHome && want != "no such file" && want != "not a directory" {
			if _, err := os.Lstat(filepath.Join(home, rest)); err != nil {
				dirs(t, home, rest)
			}
		}
		_, err := parse("[roles.r]\n"+mounting(path), "/x.toml", Overrides{})
		if err != nil && strings.HasPrefix(path, "/") && strings.Contains(err.Error(), "no such file") {
			continue // not on this machine
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestMountsHoldNothingOfTheHost: what decides what NanoClaw does, and symlinks on the way to it.
func TestMountsHoldNothingOfTheHost(t *testing.T) {
	home := clean(t)
	dirs(t, home, "plain/x", "cfg", "kept/via/y", "via -> kept/via", "tools", "state", "links -> kept/hop", "kept/hop -> ~/plain/x", "skills/sub")
	if err := os.WriteFile(filepath.Join(home, "tools/pass"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	const key = "[secrets.k]\nfile = '~/kept/key'\n"
	for name, tc := range map[string]struct{ text, path, want string }{
		"nothing":            {"", "~/plain", ""},
		"the configuration":  {"", "rw ~/cfg", "holds " + home + "/cfg/nanoclaw.toml"},
		"to read":            {"", "~/cfg", "holds " + home + "/cfg/nanoclaw.toml"},
		"plugins":            {"skills.dir = '~/skills'\n", "~/skills", "belongs to NanoClaw"},
		"in plugins":         {"skills.dir = '~/skills'\n", "~/skills/sub", "belongs to NanoClaw"},
		"above plugins":      {"skills.dir = '~/plain/x/plugins'\n", "~/plain", "holds " + home + "/plain/x/plugins"},
		"state":              {"state_dir = '~/state'\n", "~/state", "belongs to NanoClaw"},
		"state by a link":    {"state_dir = '~/via/state'\n", "rw ~/kept", "holds " + home + "/via/state"},
		"a link to plugins":  {"skills.dir = '~/kept/hop/plugins'\n", "rw ~/kept", "or a symlink to it"},
		"a link to a link":   {"skills.dir = '~/links/plugins'\n", "rw ~/kept", "or a symlink to it"},
		"a secret":           {key, "~/kept", "holds " + home + "/kept/key"},
		"the key of a model": {"[providers.openai]\napi_key = { file = '~/kept/key' }\n", "~/kept", "holds " + home + "/kept/key"},
		"a program":          {"[secrets.k]\ncommand = ['" + home + "/tools/pass']\n", "~/tools", "holds " + home + "/tools/pass"},
		"a program in PATH":  {"[secrets.k]\ncommand = ['pass']\n", "~/tools", "holds " + home + "/tools/pass"},
		"a prompt":           {"[roles.p]\nprompt_file = '~/plain/p.md'\n", "rw ~/plain", "holds " + home + "/plain/p.md"},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, filepath.Join(home, "plain/p.md"), "p")
			t.Setenv("PATH", filepath.Join(home, "tools"))
			_, err := parse(tc.text+"[roles.r]\n"+mounting(tc.path), filepath.Join(home, "cfg/nanoclaw.toml"), Overrides{})
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// TestMountsApart: no role may write where the way to a mount leads.
func TestMountsApart(t *testing.T) {
	home := clean(t)
	dirs(t, home, "work/sub/deep", "notes", "work/link -> ~/notes", "away -> work/link")
	for _, tc := range []struct{ a, b, want string }{ // b's problem, or a's
		{"rw ~/work", "~/work", ""}, // what is mounted cannot be replaced from inside
		{"~/work", "rw ~/work/sub", ""},
		{"rw ~/work", "~/work/sub", "roles.b.mounts[0].path: ~/work/sub leads through " + home + "/work, where role a could"},
		{"rw ~/work", "rw ~/work/sub/deep", "roles.b.mounts[0].path"},
		{"rw ~/work/sub", "~/notes", ""},
		{"rw ~/work", "~/work/link", "roles.b.mounts[0].path"}, // its real place is elsewhere, its name is not
		{"rw ~/work", "~/away", "roles.b.mounts[0].path"},
		{"rw ~/work/sub/deep", "rw ~/work/sub", "roles.a.mounts[0].path: ~/work/sub/deep leads through " + home + "/work/sub, where role b could"},
	} {
		_, err := parse("[roles.a]\n"+mounting(tc.a)+"[roles.b]\n"+mounting(tc.b), "/x.toml", Overrides{})
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s and %s: %v, want %q", tc.a, tc.b, err, tc.want)
		}
	}
	if _, err := parse("[roles.a]\n"+mounting("rw ~/work", "~/work/sub"), "/x.toml", Overrides{}); err == nil {
		t.Error("one role may put a symlink where its other mount is")
	}
}

// TestMountsFailClosed: without a home directory, or the right to read, there is no mount.
func TestMountsFailClosed(t *testing.T) {
	home := clean(t)
	dirs(t, home, "shut")
	for _, none := range []string{"", "/", "relative"} {
		t.Setenv("HOME", none)
		for _, path := range []string{"~/shut", home + "/shut"} {
			_, err := parse("[mounts]\nallow = ['"+home+"']\n[roles.r]\n"+mounting(path), "/x.toml", Overrides{StateDir: "/s"})
			if !errors.Is(err, host.ErrInvalid) || !strings.Contains(err.Error(), "set $HOME") {
				t.Errorf("HOME %q, mount %s: %v", none, path, err)
			}
		}
	}
	t.Setenv("HOME", home)
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	if err := os.Chmod(filepath.Join(home, "shut"), 0o300); err != nil {
		t.Fatal(err)
	}
	if _, err := parse("[roles.r]\n"+mounting("~/shut"), "/x.toml", Overrides{}); err == nil || !strings.Contains(err.Error(), "the right to read it") {
		t.Errorf("not readable: %v", err)
	}
}
