package service

import (
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/nanoclaw/nanoclaw/host"
)

// Name is the unit's, without ".service".
const Name = "nanoclaw"

// Label is the job's name on macOS.
const Label = "com.nanoclaw"

// mark is how a file is known to be made here: no other is ever replaced or removed.
const mark = "Made by 'nanoclaw service install'; 'nanoclaw service uninstall' removes it."

// Unit is what a service file says.
type Unit struct {
	Command []string          // the program and its arguments
	Env     map[string]string // never a key
	Writes  []string          // directories that the host writes; everything else is read-only to a system unit
	System  bool              // of the machine, started at boot; else of the user
	Log     string            // macOS: where stderr goes
}

// check refuses what a service file cannot say, or what would not be there for the service.
func (u Unit) check() error {
	for _, s := range slices.Concat(u.Command, u.Writes, slices.Collect(maps.Values(u.Env))) {
		if strings.ContainsFunc(s, unicode.IsControl) {
			return fmt.Errorf("%w: %q holds a control character, which a service file cannot say", host.ErrInvalid, s)
		}
	}
	for _, s := range slices.Concat(u.Command, u.Writes) {
		if strings.HasPrefix(s, "/tmp/") || strings.HasPrefix(s, "/var/tmp/") {
			return fmt.Errorf("%w: %s is in a directory that is emptied, and that a service does not share: "+
				"put it elsewhere", host.ErrInvalid, s)
		}
	}
	return nil
}

// Systemd is the unit file. What needs a mount namespace is for system units alone: a user's service
// manager may not make one everywhere, and would not start the unit then. Agents are not in this
// sandbox: Docker's daemon starts them, each in its own.
func (u Unit) Systemd() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# %s\n# Changes of yours belong in a drop-in: systemctl%s edit %s", mark, u.user(), Name)
	line("[Unit]\nDescription=NanoClaw assistant")
	if u.System {
		line("Wants=network-online.target docker.service\nAfter=network-online.target docker.service")
	}
	line("# No more than five starts in ten minutes; then it stays down, and 'nanoclaw service status' says so.")
	line("StartLimitIntervalSec=600\nStartLimitBurst=5")
	line("\n[Service]\nType=exec\nExecStart=%s", join(u.Command, true))
	for _, k := range slices.Sorted(maps.Keys(u.Env)) {
		line("Environment=%s", quote(k+"="+u.Env[k], false))
	}
	line("Restart=on-failure\nRestartSec=5\n# Running turns get ten seconds, then they are put back for the next start.")
	line("TimeoutStopSec=30\nKillMode=mixed\nUMask=0077\n\nNoNewPrivileges=yes")
	line("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\nRestrictNamespaces=yes\nRestrictRealtime=yes")
	line("RestrictSUIDSGID=yes\nLockPersonality=yes\n# This process compiles nothing: WASM runs in containers.")
	line("MemoryDenyWriteExecute=yes\nSystemCallArchitectures=native\nSystemCallFilter=@system-service")
	line("SystemCallErrorNumber=EPERM")
	if !u.System {
		line("\n[Install]\nWantedBy=default.target")
		return b.String()
	}
	line("# To give workspaces to the agents' user, and to take them back.")
	line("CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER\nAmbientCapabilities=")
	line("ProtectSystem=strict\nProtectHome=read-only\nReadWritePaths=%s", join(u.Writes, false))
	line("PrivateTmp=yes\nPrivateDevices=yes\nProtectClock=yes\nProtectHostname=yes\nProtectControlGroups=yes")
	line("ProtectKernelLogs=yes\nProtectKernelModules=yes\nProtectKernelTunables=yes\nProtectProc=invisible")
	line("\n[Install]\nWantedBy=multi-user.target")
	return b.String()
}

func (u Unit) user() string {
	if u.System {
		return ""
	}
	return " --user"
}

func join(words []string, command bool) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = quote(w, command)
	}
	return strings.Join(out, " ")
}

// quote writes a word as unit files want it. "%" begins a specifier anywhere, "$" a variable in commands.
func quote(s string, command bool) string {
	s = strings.ReplaceAll(s, "%", "%%")
	if command {
		s = strings.ReplaceAll(s, "$", "$$")
	}
	if s != "" && !strings.ContainsAny(s, " \t\"'\\;") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Launchd is the property list of the user's agent. launchd has no start limit, only a time between
// two starts; docker is waited for by the program itself.
func (u Unit) Launchd() string {
	var b strings.Builder
	text := func(tag, s string) {
		fmt.Fprintf(&b, "<%s>", tag)
		_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
		fmt.Fprintf(&b, "</%s>\n", tag)
	}
	b.WriteString(xml.Header + `<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" ` +
		`"http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n<!-- " + mark + " -->\n<plist version=\"1.0\">\n<dict>\n")
	text("key", "Label")
	text("string", Label)
	b.WriteString("<key>ProgramArguments</key>\n<array>\n")
	for _, w := range u.Command {
		text("string", w)
	}
	b.WriteString("</array>\n<key>EnvironmentVariables</key>\n<dict>\n")
	for _, k := range slices.Sorted(maps.Keys(u.Env)) {
		text("key", k)
		text("string", u.Env[k])
	}
	b.WriteString("</dict>\n<key>RunAtLoad</key>\n<true/>\n<key>KeepAlive</key>\n<dict>\n" +
		"<key>SuccessfulExit</key>\n<false/>\n</dict>\n<key>ThrottleInterval</key>\n<integer>10</integer>\n" +
		"<key>ExitTimeOut</key>\n<integer>30</integer>\n<key>ProcessType</key>\n<string>Background</string>\n" +
		"<key>Umask</key>\n<integer>63</integer>\n")
	text("key", "StandardErrorPath")
	text("string", u.Log)
	b.WriteString("</dict>\n</plist>\n")
	return b.String()
}
