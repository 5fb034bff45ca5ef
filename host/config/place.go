package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Places that are never mounted, in lower case, with "?" for a space.
var (
	// Nothing in these is. The home of a service may be in the last two.
	system = strings.Fields("/bin /boot /dev /etc /lib /lib32 /lib64 /proc /run /sbin /sys /usr /var/log /var/run " +
		"/var/spool /system /library /private/etc /private/var/db /private/var/run /root /var/lib")
	// Nothing in these, below the home directory, where programs keep logins.
	logins = strings.Fields(".config library/accounts library/application?support library/containers library/cookies " +
		"library/group?containers library/keychains library/mail library/messages library/safari")
	// Not these as a whole, nor a name with a dot: but directories in them are.
	broad = strings.Fields("desktop documents downloads library dropbox onedrive google?drive .local/share " +
		".local/state library/cloudstorage library/mobile?documents library/mobile?documents/com~apple~clouddocs")
	// Nor what is directly in these.
	shelves = strings.Fields("/ /home /users /var /private /private/var")
	// Directories that the desktop calls by names of its language.
	userDirs = regexp.MustCompile(`(?m)^XDG_(?:DESKTOP|DOCUMENTS|DOWNLOAD)_DIR="\$HOME/([^"]+?)/?"`)
)

// keyNames are names, in lower case, under which keys and logins are kept. They count as whole
// parts of a path: "my.environment" has ".env" in it and is none of them.
var keyNames = strings.Fields(".ssh .gnupg .gpg .aws .azure .gcloud .kube .docker credentials .env .netrc _netrc " +
	".npmrc .pypirc .pgpass .my.cnf .git-credentials .htpasswd .vault-token .terraform.d .oci .password-store .secret " +
	".secrets .mozilla .thunderbird .claude .codex .gemini keychains keyrings private_key id_rsa id_dsa " +
	"id_ecdsa id_ed25519 id_ecdsa_sk id_ed25519_sk credentials.json client_secret.json")

// KeyName reports whether a part of a path is one, or ".env." and a stage such as "production".
func KeyName(part string) bool {
	part = strings.ToLower(part)
	stage, isEnv := strings.CutPrefix(part, ".env.")
	return slices.Contains(keyNames, part) ||
		isEnv && !slices.Contains([]string{"example", "sample", "template", "dist"}, stage)
}

// refused says why the directory that is written as path, and really is at real, is never mounted.
func refused(path, real string) error {
	home, err := homeDir()
	if err != nil {
		return err
	}
	for _, part := range strings.Split(path+real, "/") {
		if KeyName(part) {
			return fmt.Errorf("has %q in it, where keys or logins are kept", part)
		}
	}
	place, parent := strings.ToLower(real), strings.ToLower(filepath.Dir(real))
	in := func(dir string) bool { return Within(place, dir) }
	rel, inHome := strings.CutPrefix(place, strings.ToLower(home)+"/")
	rel = strings.ReplaceAll(rel, " ", "?")
	whole := slices.Contains(broad, rel) || strings.HasPrefix(rel, ".") && !strings.Contains(rel, "/")
	desktop, _ := readFile(filepath.Join(home, ".config", "user-dirs.dirs")) // where there is one
	for _, m := range userDirs.FindAllStringSubmatch(desktop, -1) {
		whole = whole || strings.ReplaceAll(strings.ToLower(m[1]), " ", "?") == rel
	}
	switch {
	case below(home, real):
		return errors.New("is or holds your whole home directory; name a directory in it")
	case slices.ContainsFunc(system, in) && !(inHome && slices.ContainsFunc(system[len(system)-2:], in)):
		return errors.New("belongs to the system")
	case inHome && slices.ContainsFunc(logins, func(dir string) bool { return Within(rel, dir) }):
		return errors.New("is where programs keep logins")
	case slices.Contains(shelves, parent) || inHome && whole:
		return errors.New("is too much at once; name a directory in it")
	}
	return nil
}

// homeDir is where the home directory really is. Without one nothing is mounted: what is too
// much could not be told.
func homeDir() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) || filepath.Clean(home) == "/" {
		return "", errors.New("cannot be compared with your home directory: set $HOME")
	}
	return Resolved(home), nil
}

// below is within, with capitals equal: for what is refused, as not every disk tells them apart.
func below(p, dir string) bool { return Within(strings.ToLower(p), strings.ToLower(dir)) }
