package skill

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/module"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Custom sections of a skill.
const (
	SectionManifest = "nanoclaw.manifest.v1"
	SectionText     = "nanoclaw.skill.md"
	maxText         = 128 << 10 // bytes of SKILL.md
	pagesPerMiB     = 16
)

// File is one skill file as it stands, checked but not admitted.
type File struct {
	Path     string
	Bytes    []byte
	Size     int64
	Digest   host.Digest
	Manifest host.Manifest
	Text     string // SKILL.md
	Imports  []module.Import
	Unbound  []string // WASI functions it imports and, without fs, gets only as stubs

	Signature []byte // nil = unsigned; see Verify
	message   []byte // what it signs: the bytes before it
}

// Read opens and checks one file: everything of admission that needs no compiler.
func Read(path string) (*File, error) {
	b, err := readRegular(path, module.MaxSize)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	f := &File{
		Path: path, Bytes: b, Size: int64(len(b)),
		Digest: host.Digest("sha256:" + hex.EncodeToString(sum[:])),
	}
	if err := f.check(); err != nil {
		return nil, refusal{fmt.Errorf("%s: %w", path, err)}
	}
	return f, nil
}

// readRegular reads a file that anyone may have put there: never through a symbolic
// link, never hanging on a FIFO, never more than limit bytes, never while it grows.
func readRegular(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, syscall.ELOOP):
		return nil, refuse("%s: a symbolic link", path)
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %s", host.ErrNotFound, path)
	case err != nil:
		return nil, refuse("%w", err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, refuse("%w", err)
	}
	if !before.Mode().IsRegular() {
		return nil, refuse("%s: not a regular file", path)
	}
	if before.Size() > limit {
		return nil, refuse("%s: %d bytes, at most %d", path, before.Size(), limit)
	}
	b, err := io.ReadAll(io.LimitReader(f, before.Size()+1))
	if err != nil {
		return nil, refuse("%w", err)
	}
	after, err := f.Stat()
	same := err == nil && after.Size() == before.Size() && after.ModTime().Equal(before.ModTime())
	if !same || before.Size() != int64(len(b)) {
		return nil, refuse("%s: it is still being written", path)
	}
	return b, nil
}

func (f *File) check() error {
	info, err := module.Scan(f.Bytes)
	if err != nil {
		return err
	}
	if err := f.sections(info.Sections); err != nil {
		return err
	}
	if f.message, f.Signature, err = signed(f.Bytes, info.Sections); err != nil {
		return err
	}
	if need := int(info.MemoryPages+pagesPerMiB-1) / pagesPerMiB; need > f.Manifest.Limits.MemoryMiB {
		return refuse("it starts with %d MiB of memory, its manifest says at most %d", need, f.Manifest.Limits.MemoryMiB)
	}
	f.Imports = info.Imports
	if err := f.imports(); err != nil {
		return err
	}
	return f.exports(info.Exports)
}

func (f *File) sections(all []module.Section) error {
	var manifests, texts int
	code := false
	for _, s := range all {
		code = code || s.ID == module.SecCode
		switch {
		case s.ID != module.SecCustom:
		case s.Name == SectionManifest:
			if code {
				return refuse("section %s stands behind the code", SectionManifest)
			}
			var err error
			if f.Manifest, err = ParseManifest(s.Body); err != nil {
				return refuse("%w", err)
			}
			if f.Manifest.Kind == host.KindText {
				return refuse("its manifest says kind %q, which is for folders without code", host.KindText)
			}
			manifests++
		case s.Name == SectionText:
			if len(s.Body) > maxText || !utf8.Valid(s.Body) {
				return refuse("section %s: UTF-8 of at most %d bytes", SectionText, maxText)
			}
			f.Text = string(s.Body)
			texts++
		}
	}
	if manifests != 1 || texts > 1 {
		return refuse("%d sections %s and %d %s; exactly one and at most one are taken ('nanoclaw skill build' makes them,"+
			" for foreign modules 'nanoclaw skill adopt')",
			manifests, SectionManifest, texts, SectionText)
	}
	return nil
}

// ABI modules and the functions of each.
const (
	wasiModule   = "wasi_snapshot_preview1"
	coreModule   = "nanoclaw_core_1"
	extismModule = "extism:host/env"
)

var (
	coreFunctions = strings.Fields("input_read output_write result_read log")
	// wasiFunctions is preview 1 without sockets.
	wasiFunctions = strings.Fields(`args_get args_sizes_get clock_res_get clock_time_get environ_get
		environ_sizes_get fd_advise fd_allocate fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags
		fd_fdstat_set_rights fd_filestat_get fd_filestat_set_size fd_filestat_set_times fd_pread
		fd_prestat_get fd_prestat_dir_name fd_pwrite fd_read fd_readdir fd_renumber fd_seek fd_sync
		fd_tell fd_write path_create_directory path_filestat_get path_filestat_set_times path_link
		path_open path_readlink path_remove_directory path_rename path_symlink path_unlink_file
		poll_oneoff proc_exit random_get sched_yield`)
	// extismFunctions are those of Extism's ABI that the adapter has; http_request is a capability.
	extismFunctions = strings.Fields(`alloc free length length_unsafe load_u8 load_u64 store_u8 store_u64
		input_length input_offset input_load_u8 input_load_u64 output_set error_set config_get var_get var_set
		http_request http_status_code http_headers log_trace log_debug log_info log_warn log_error get_log_level`)
)

// imports refuses what no grant could link, and what the manifest does not declare.
func (f *File) imports() error {
	_, fs := f.Manifest.Need(host.CapFS)
	for _, i := range f.Imports {
		if i.Kind != module.KindFunc {
			return refuse("it imports %q of %q, which is no function", i.Name, i.Module)
		}
		capability, isCap := capabilityOf(i.Module)
		_, declared := f.Manifest.Need(capability)
		ok := false
		switch {
		case i.Module == wasiModule:
			ok = slices.Contains(wasiFunctions, i.Name)
			if !fs && (strings.HasPrefix(i.Name, "path_") || strings.HasPrefix(i.Name, "fd_prestat_")) {
				f.Unbound = append(f.Unbound, i.Name)
			}
		case i.Module == coreModule:
			ok = slices.Contains(coreFunctions, i.Name)
		case i.Module == extismModule && f.Manifest.Adapter == wire.AdapterExtism:
			if _, http := f.Manifest.Need(host.CapHTTP); i.Name == "http_request" && !http {
				return refuse("it imports http_request without declaring the capability %q", host.CapHTTP)
			}
			ok = slices.Contains(extismFunctions, i.Name)
		case isCap && !declared:
			return refuse("it imports %q without declaring the capability %q", i.Module, capability)
		case isCap:
			ok = i.Name == "call"
		}
		if !ok {
			return refuse("it imports %q of %q, which no skill can have", i.Name, i.Module)
		}
	}
	return nil
}

// capabilityOf is the capability behind an import module. fs has none: it is WASI preopens.
func capabilityOf(mod string) (host.Capability, bool) {
	for _, c := range host.Capabilities {
		if c != host.CapFS && mod == "nanoclaw_"+string(c)+"_1" {
			return c, true
		}
	}
	return "", false
}

func (f *File) exports(all []module.Export) error {
	has := func(name string, kind byte) bool { return slices.Contains(all, module.Export{Name: name, Kind: kind}) }
	command := has("_start", module.KindFunc)
	switch {
	case !has("memory", module.KindMemory):
		return refuse(`it does not export its memory as "memory"`)
	case f.Manifest.Adapter == wire.AdapterExtism:
		for _, t := range f.Manifest.Tools {
			if !has(t.Name, module.KindFunc) {
				return refuse("it exports no function %q, which its manifest says is a tool", t.Name)
			}
		}
	case f.Manifest.Adapter == wire.AdapterCommand && !command:
		return refuse("it is no WASI command: it does not export _start")
	case !has("nanoclaw_call", module.KindFunc) && !command:
		return refuse("it exports neither nanoclaw_call nor _start")
	}
	return nil
}

// Pack embeds a manifest and the text of SKILL.md before the code, replacing what is
// there. A signature goes, since it fits no longer; all other sections stay byte for byte.
func Pack(wasm []byte, m host.Manifest, text string) ([]byte, error) {
	if err := CheckManifest(&m); err != nil {
		return nil, err
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	sections, err := module.Parse(wasm)
	if err != nil {
		return nil, refusal{err}
	}
	sections = slices.DeleteFunc(sections, func(s module.Section) bool {
		return s.ID == module.SecCustom && slices.Contains([]string{SectionManifest, SectionText, SectionSignature}, s.Name)
	})
	at := slices.IndexFunc(sections, func(s module.Section) bool { return s.ID == module.SecCode })
	if at < 0 {
		at = len(sections)
	}
	own := []module.Section{{Name: SectionManifest, Body: manifest}}
	if text != "" {
		own = append(own, module.Section{Name: SectionText, Body: []byte(text)})
	}
	return module.Encode(slices.Insert(sections, at, own...)), nil
}
