package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unsafe"
)

type errno uint32

// Errors as WASI numbers them.
const (
	ok          errno = 0
	eAcces      errno = 2
	eBadf       errno = 8
	eExist      errno = 20
	eIlseq      errno = 25
	eInval      errno = 28
	eIsdir      errno = 31
	eLoop       errno = 32
	eMlink      errno = 34
	eNametoo    errno = 37
	eNoent      errno = 44
	eNosys      errno = 52
	eNotdir     errno = 54
	eNotempty   errno = 55
	eNotsup     errno = 58
	ePerm       errno = 63
	eSpipe      errno = 70
	eNotcapable errno = 76
)

// Flags.
const (
	creat, directory, excl, trunc         = 1, 2, 4, 8 // oflags
	appends, nonblock, sync               = 1, 4, 16   // fdflags
	rightRead, rightSeek, rightWrite      = 2, 4, 64   // rights
	readOnly, writeOnly, readWrite        = 2 | 4, 64 | 4, 2 | 4 | 64
	allRights                             = 1<<29 - 1
	dirRights                             = allRights &^ rightWrite
	follow                                = 1          // lookup flags
	atim, atimNow, mtim, mtimNow          = 1, 2, 4, 8 // fst flags
	seekSet, seekCur, seekEnd             = 0, 1, 2    // whence
	typeDir, typeFile, typeLink      byte = 3, 4, 7
)

//go:wasmimport wasi_snapshot_preview1 path_open
func pathOpen(fd, look int32, p unsafe.Pointer, n uint32, oflags int32, base, inherit int64, fdflags int32, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_close
func fdClose(fd int32) errno

//go:wasmimport wasi_snapshot_preview1 fd_read
func fdRead(fd int32, iovs unsafe.Pointer, n uint32, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_write
func fdWrite(fd int32, iovs unsafe.Pointer, n uint32, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_pread
func fdPread(fd int32, iovs unsafe.Pointer, n uint32, off int64, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_pwrite
func fdPwrite(fd int32, iovs unsafe.Pointer, n uint32, off int64, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_seek
func fdSeek(fd int32, off int64, whence int32, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_tell
func fdTell(fd int32, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_advise
func fdAdvise(fd int32, off, n int64, advice int32) errno

//go:wasmimport wasi_snapshot_preview1 fd_allocate
func fdAllocate(fd int32, off, n int64) errno

//go:wasmimport wasi_snapshot_preview1 fd_sync
func fdSync(fd int32) errno

//go:wasmimport wasi_snapshot_preview1 fd_datasync
func fdDatasync(fd int32) errno

//go:wasmimport wasi_snapshot_preview1 fd_renumber
func fdRenumber(from, to int32) errno

//go:wasmimport wasi_snapshot_preview1 fd_readdir
func fdReaddir(fd int32, buf unsafe.Pointer, n uint32, cookie int64, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_get
func fdStat(fd int32, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_set_flags
func fdSetFlags(fd, flags int32) errno

//go:wasmimport wasi_snapshot_preview1 fd_filestat_get
func fdFilestat(fd int32, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_filestat_set_size
func fdSetSize(fd int32, n int64) errno

//go:wasmimport wasi_snapshot_preview1 fd_filestat_set_times
func fdSetTimes(fd int32, a, m int64, flags int32) errno

//go:wasmimport wasi_snapshot_preview1 path_filestat_get
func pathFilestat(fd, look int32, p unsafe.Pointer, n uint32, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 path_filestat_set_times
func pathSetTimes(fd, look int32, p unsafe.Pointer, n uint32, a, m int64, flags int32) errno

//go:wasmimport wasi_snapshot_preview1 path_create_directory
func pathMkdir(fd int32, p unsafe.Pointer, n uint32) errno

//go:wasmimport wasi_snapshot_preview1 path_remove_directory
func pathRmdir(fd int32, p unsafe.Pointer, n uint32) errno

//go:wasmimport wasi_snapshot_preview1 path_unlink_file
func pathUnlink(fd int32, p unsafe.Pointer, n uint32) errno

//go:wasmimport wasi_snapshot_preview1 path_rename
func pathRename(fd int32, p unsafe.Pointer, n uint32, to int32, q unsafe.Pointer, m uint32) errno

//go:wasmimport wasi_snapshot_preview1 path_symlink
func pathSymlink(q unsafe.Pointer, m uint32, fd int32, p unsafe.Pointer, n uint32) errno

//go:wasmimport wasi_snapshot_preview1 path_link
func pathLink(fd, look int32, p unsafe.Pointer, n uint32, to int32, q unsafe.Pointer, m uint32) errno

//go:wasmimport wasi_snapshot_preview1 path_readlink
func pathReadlink(fd int32, p unsafe.Pointer, n uint32, buf unsafe.Pointer, m uint32, out unsafe.Pointer) errno

var opened []int32 // by a scenario

// run is one scenario at work in a directory of its own.
type run struct{ dir int32 }

// failure ends a scenario.
type failure string

func fail(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }

// is ends the scenario unless got is one of the errors that are right here.
func is(what string, got errno, want ...errno) {
	if !slices.Contains(want, got) {
		fail("%s: errno %d, want %d", what, got, want)
	}
}

func equal[T comparable](what string, got, want T) {
	if got != want {
		fail("%s: %v, want %v", what, got, want)
	}
}

// s is a string's address and length; an empty one has an address too.
func s(str string) (unsafe.Pointer, uint32) {
	b := append([]byte(str), 0)
	return unsafe.Pointer(&b[0]), uint32(len(str))
}

func (r run) openAt(dir int32, look int32, path string, oflags int32, rights int64, fdflags int32) (int32, errno) {
	fd := int32(-1)
	p, n := s(path)
	e := pathOpen(dir, look, p, n, oflags, rights, allRights, fdflags, unsafe.Pointer(&fd))
	if e == ok {
		opened = append(opened, fd)
	}
	return fd, e
}

func (r run) try(path string, oflags int32, rights int64) errno {
	fd, e := r.openAt(r.dir, follow, path, oflags, rights, 0)
	if e == ok {
		is("close "+path, fdClose(fd), ok)
	}
	return e
}

func (r run) open(path string, oflags int32, rights int64, fdflags int32) int32 {
	fd, e := r.openAt(r.dir, follow, path, oflags, rights, fdflags)
	is("open "+path, e, ok)
	return fd
}

// file makes a file with a text.
func (r run) file(path, text string) {
	fd := r.open(path, creat|trunc, readWrite, 0)
	if text != "" {
		r.write(fd, text)
	}
	is("close", fdClose(fd), ok)
}

// iovec is a buffer as WASI sees it: its pointers have 32 bits, Go's 64.
type iovec struct{ p, n uint32 }

var pinned []unsafe.Pointer // what iovecs point to

func vector(p unsafe.Pointer, n uint32) iovec {
	pinned = append(pinned, p)
	return iovec{uint32(uintptr(p)), n}
}

func (r run) write(fd int32, text string) {
	n, e := writeTo(fd, text)
	is("write", e, ok)
	equal("bytes written", n, uint32(len(text)))
}

func writeTo(fd int32, text string) (n uint32, e errno) {
	p, m := s(text)
	iov := vector(p, m)
	e = fdWrite(fd, unsafe.Pointer(&iov), 1, unsafe.Pointer(&n))
	return n, e
}

func readFrom(fd int32, size int) (string, errno) {
	b := make([]byte, size)
	iov, n := vector(unsafe.Pointer(&b[0]), uint32(size)), uint32(0)
	e := fdRead(fd, unsafe.Pointer(&iov), 1, unsafe.Pointer(&n))
	return string(b[:n]), e
}

func pread(fd int32, size int, off int64) (string, errno) {
	b := make([]byte, size)
	iov, n := vector(unsafe.Pointer(&b[0]), uint32(size)), uint32(0)
	e := fdPread(fd, unsafe.Pointer(&iov), 1, off, unsafe.Pointer(&n))
	return string(b[:n]), e
}

func pwrite(fd int32, text string, off int64) errno {
	p, m := s(text)
	iov, n := vector(p, m), uint32(0)
	return fdPwrite(fd, unsafe.Pointer(&iov), 1, off, unsafe.Pointer(&n))
}

// text is a whole file's.
func (r run) text(path string) string {
	fd := r.open(path, 0, readOnly, 0)
	t, e := readFrom(fd, 4096)
	is("read "+path, e, ok)
	is("close", fdClose(fd), ok)
	return t
}

func seek(fd int32, off int64, whence int32) (at int64, e errno) {
	e = fdSeek(fd, off, whence, unsafe.Pointer(&at))
	return at, e
}

type filestat struct {
	dev, ino          uint64
	kind              byte
	nlink, size       uint64
	atim, mtim, ctime uint64
}

func stat(b []byte) filestat {
	u := binary.LittleEndian.Uint64
	return filestat{u(b), u(b[8:]), b[16], u(b[24:]), u(b[32:]), u(b[40:]), u(b[48:]), u(b[56:])}
}

func (r run) fdstat(fd int32) (kind byte, flags uint16, e errno) {
	b := make([]byte, 24)
	e = fdStat(fd, unsafe.Pointer(&b[0]))
	return b[0], binary.LittleEndian.Uint16(b[2:]), e
}

func (r run) stat(fd int32) filestat {
	b := make([]byte, 64)
	is("fd_filestat_get", fdFilestat(fd, unsafe.Pointer(&b[0])), ok)
	return stat(b)
}

func (r run) statPath(look int32, path string) (filestat, errno) {
	b := make([]byte, 64)
	p, n := s(path)
	e := pathFilestat(r.dir, look, p, n, unsafe.Pointer(&b[0]))
	return stat(b), e
}

func (r run) mkdir(path string) errno  { p, n := s(path); return pathMkdir(r.dir, p, n) }
func (r run) rmdir(path string) errno  { p, n := s(path); return pathRmdir(r.dir, p, n) }
func (r run) unlink(path string) errno { p, n := s(path); return pathUnlink(r.dir, p, n) }

func (r run) rename(from, to string) errno {
	p, n := s(from)
	q, m := s(to)
	return pathRename(r.dir, p, n, r.dir, q, m)
}

func (r run) symlink(target, path string) errno {
	p, n := s(path)
	q, m := s(target)
	return pathSymlink(q, m, r.dir, p, n)
}

func (r run) link(look int32, from, to string) errno {
	p, n := s(from)
	q, m := s(to)
	return pathLink(r.dir, look, p, n, r.dir, q, m)
}

func (r run) readlink(path string, size int) (string, errno) {
	b := make([]byte, size+1)
	got := uint32(0)
	p, n := s(path)
	e := pathReadlink(r.dir, p, n, unsafe.Pointer(&b[0]), uint32(size), unsafe.Pointer(&got))
	return string(b[:got]), e
}

type dirent struct {
	next, ino uint64
	name      string
	kind      byte
}

// readdir is one call: whole entries of what it filled, and whether the buffer was full.
func readdir(fd int32, size int, cookie uint64) (entries []dirent, full bool, e errno) {
	b := make([]byte, size)
	n := uint32(0)
	if e = fdReaddir(fd, unsafe.Pointer(&b[0]), uint32(size), int64(cookie), unsafe.Pointer(&n)); e != ok {
		return nil, false, e
	}
	le := binary.LittleEndian
	for b = b[:n]; len(b) >= 24; {
		d := dirent{next: le.Uint64(b), ino: le.Uint64(b[8:]), kind: b[20]}
		m := int(le.Uint32(b[16:]))
		if len(b) < 24+m {
			break
		}
		d.name = string(b[24 : 24+m])
		entries, b = append(entries, d), b[24+m:]
	}
	return entries, int(n) == size, ok
}

func names(entries []dirent) string {
	var out []string
	for _, d := range entries {
		out = append(out, d.name)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

const eIo errno = 29

func tell(fd int32) (at int64) {
	is("tell", fdTell(fd, unsafe.Pointer(&at)), ok)
	return at
}

func writev(fd int32, texts ...string) (n uint32) {
	var iovs []iovec
	for _, t := range texts {
		p, m := s(t)
		iovs = append(iovs, vector(p, m))
	}
	is("write", fdWrite(fd, unsafe.Pointer(&iovs[0]), uint32(len(iovs)), unsafe.Pointer(&n)), ok)
	return n
}
