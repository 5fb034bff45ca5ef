package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host/config"
)

// Bounds of the search for keys in one directory.
const (
	maxKeyDepth, maxKeyEntries = 12, 100_000
	maxKeyTime                 = 3 * time.Second
	shownKeys                  = 10
)

// keyWarnings says which mounts have files in them that look like keys. It reads names, and the
// beginning of files that may hold a private key, and stops at its bounds, which it says too.
func keyWarnings(cfg *config.Config) (out []string) {
	for _, n := range slices.Sorted(maps.Keys(cfg.Roles)) {
		for _, m := range cfg.Roles[n].Mounts {
			keys, all := keysIn(m.Path)
			if len(keys) > 0 {
				out = append(out, fmt.Sprintf("role %s: mount %s has what looks like keys in it: %s; move them, or mount "+
					"a directory without them", n, m.Path, strings.Join(keys, ", ")))
			}
			if !all {
				out = append(out, fmt.Sprintf("role %s: mount %s was not searched for keys to its end", n, m.Path))
			}
		}
	}
	return out
}

// keysIn lists the first keys below dir, quoted, and whether all of dir was looked at.
func keysIn(dir string) (keys []string, all bool) {
	all = true
	entries, end := 0, time.Now().Add(maxKeyTime)
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		entries++
		switch {
		case entries > maxKeyEntries || len(keys) == shownKeys || time.Now().After(end):
			all = false
			return fs.SkipAll
		case err != nil || strings.Count(rel, "/") >= maxKeyDepth:
			all = false
			return fs.SkipDir
		case path != dir && config.KeyName(d.Name()) || d.Type().IsRegular() && privateKey(path):
			keys = append(keys, strconv.Quote(rel))
			if d.IsDir() {
				return fs.SkipDir
			}
		}
		return nil
	})
	return keys, all
}

// privateKey reports whether the file at path is a store of keys, or named as a key and has one in it.
func privateKey(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".p12", ".pfx", ".jks", ".kdbx", ".keystore":
		return true
	case ".pem", ".key":
		f, err := os.Open(path)
		if err != nil {
			return true
		}
		defer f.Close()
		b, _ := io.ReadAll(io.LimitReader(f, 64<<10))
		return bytes.Contains(b, []byte("PRIVATE KEY-----"))
	}
	return false
}
