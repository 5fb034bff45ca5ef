// Preview1 asks a WASI host, by raw calls, how it does what the interface says of files, and
// prints one line for each scenario: its name, and "ok" or what was wrong. It is run twice,
// over wazero's own directory mount and over ours. The topics are those of the WASI test
// suite; the scenarios are our own.
package main

import (
	"fmt"
	"strings"
)

const preopened = 3

func main() {
	for i, sc := range scenarios {
		fmt.Printf("%s: %s\n", sc.name, sc.try(i))
	}
}

type scenario struct {
	name string
	do   func(r run)
}

func (sc scenario) try(i int) (verdict string) {
	defer func() {
		if r := recover(); r != nil {
			verdict = fmt.Sprint(r)
		}
		for _, fd := range opened {
			fdClose(fd) // some are closed already
		}
		opened = nil
	}()
	at := run{dir: preopened}
	name := fmt.Sprint("dir", i)
	is("make the scenario's directory", at.mkdir(name), ok)
	at.dir = at.open(name, directory, dirRights, 0)
	sc.do(at)
	return "ok"
}

var scenarios = []scenario{
	{"open creates and excludes", func(r run) {
		is("missing", r.try("f", 0, readOnly), eNoent)
		is("create", r.try("f", creat|excl, readWrite), ok)
		is("again", r.try("f", creat|excl, readWrite), eExist)
		is("create what is there", r.try("f", creat, readWrite), ok)
		is("in a missing directory", r.try("d/f", creat, readWrite), eNoent)
		is("below a file", r.try("f/g", creat, readWrite), eNotdir)
	}},
	{"open wants a directory", func(r run) {
		r.file("f", "")
		is("file", r.try("f", directory, readOnly), eNotdir)
		is("mkdir", r.mkdir("d"), ok)
		is("directory", r.try("d", directory, readOnly), ok)
		is("directory with a slash", r.try("d/", directory, readOnly), ok)
		is("dot", r.try(".", directory, readOnly), ok)
		is("file with a slash", r.try("f/", 0, readOnly), eNotdir)
	}},
	{"open creates no directory", func(r run) {
		is("create a directory", r.try("d", creat|directory, readOnly), eInval, eNotdir, eNoent)
	}},
	{"open a directory for writing", func(r run) {
		is("mkdir", r.mkdir("d"), ok)
		is("write", r.try("d", 0, writeOnly), eIsdir, ok)
		is("truncate", r.try("d", trunc, readWrite), eIsdir, eInval)
	}},
	{"open a directory for reading and writing", func(r run) {
		is("read and write", r.try(".", directory, readWrite), eIsdir)
		is("no rights", r.try(".", directory, 0), ok)
		is("no rights, no flag", r.try(".", 0, 0), ok)
		is("read", r.try(".", directory, rightRead), ok)
	}},
	{"open without rights", func(r run) {
		is("create", r.try("f", creat, 0), ok)
		is("open", r.try("f", 0, 0), ok)
		is("unlink", r.unlink("f"), ok)
		is("create again", r.try("f", creat, 0), ok)
	}},
	{"open truncates without rights", func(r run) {
		r.file("f", "hello")
		fd := r.open("f", trunc, 0, 0)
		equal("size", r.stat(fd).size, 0)
		_, e := writeTo(fd, "x")
		is("write", e, eBadf, eNotcapable)
	}},
	{"open synchronously", func(r run) {
		fd, e := r.openAt(r.dir, follow, "f", creat, readWrite, appends|sync)
		if e == eNotsup {
			return
		}
		is("open", e, ok)
		_, flags, e := r.fdstat(fd)
		is("fdstat", e, ok)
		equal("append flag", flags&appends, appends)
		r.write(fd, "x")
	}},
	{"open truncates", func(r run) {
		r.file("f", "hello")
		is("truncate", r.try("f", trunc, readWrite), ok)
		equal("text", r.text("f"), "")
	}},
	{"open without waiting", func(r run) {
		fd := r.open("f", creat, readWrite, nonblock)
		r.write(fd, "x")
		is("close", fdClose(fd), ok)
	}},
	{"relative to a directory", func(r run) {
		is("mkdir", r.mkdir("d"), ok)
		r.file("d/f", "x")
		d := r.open("d", directory, dirRights, 0)
		in := run{d}
		equal("text", in.text("f"), "x")
		in.file("g", "y")
		equal("text", r.text("d/g"), "y")
		f := r.open("d/f", 0, readWrite, 0)
		_, e := r.openAt(f, follow, "x", 0, readOnly, 0)
		is("below a file", e, eNotdir, eBadf)
	}},
	{"paths of all kinds", func(r run) {
		is("mkdir", r.mkdir("dir"), ok)
		is("mkdir", r.mkdir("dir/nested"), ok)
		r.file("dir/nested/file", "x")
		for _, p := range []string{
			"dir/nested/file", "dir/.//nested/../../dir/nested/../nested///./file", "./dir/nested/file", "dir//nested//file",
		} {
			is(p, r.try(p, 0, readOnly), ok)
		}
		is("directory by a slash", r.try("dir/nested/", 0, readOnly), ok)
		is("directory by slashes", r.try("dir/nested///", 0, readOnly), ok)
		is("zero byte", r.try("dir/nested/file\x00", 0, readOnly), eInval, eIlseq, eNoent)
		is("file as a directory", r.try("dir/nested/file/", 0, readOnly), eNotdir)
		is("file as a directory", r.try("dir/nested/file///", 0, readOnly), eNotdir)
		is("file as a directory", r.try("dir/nested/file/.", 0, readOnly), eNotdir, ok)
	}},
	{"absolute path", func(r run) {
		r.file("f", "")
		is("open", r.try("/f", 0, readOnly), ePerm, eNotcapable)
	}},
	{"too many dots", func(r run) {
		for _, p := range []string{"../../x", "d/../../../x", "../../../etc/passwd"} {
			is(p, r.try(p, 0, readOnly), ePerm, eNotcapable)
		}
	}},
	{"empty path", func(r run) {
		is("open", r.try("", 0, readOnly), eNoent, eInval)
		is("mkdir", r.mkdir(""), eNoent, eInval)
		is("unlink", r.unlink(""), eNoent, eInval, eIsdir)
	}},
	{"long path", func(r run) {
		is("segment", r.try(strings.Repeat("n", 256), creat, readWrite), eNametoo)
		is("path", r.try(strings.Repeat("d/", 4000)+"f", 0, readOnly), eNametoo, eNoent)
		is("longest segment", r.try(strings.Repeat("n", 255), creat, readWrite), ok)
	}},
	{"append", func(r run) {
		r.file("f", "one")
		fd := r.open("f", 0, readWrite, appends)
		r.write(fd, "two")
		_, e := seek(fd, 0, seekSet)
		is("seek", e, ok)
		r.write(fd, "three")
		equal("text", r.text("f"), "onetwothree")
		_, flags, e := r.fdstat(fd)
		is("fdstat", e, ok)
		equal("append flag", flags&appends, appends)
	}},
	{"append on and off", func(r run) {
		fd := r.open("f", creat, readWrite, appends)
		r.write(fd, "0123456789")
		is("off", fdSetFlags(fd, 0), ok)
		_, e := seek(fd, 0, seekSet)
		is("seek", e, ok)
		r.write(fd, "ab")
		is("on", fdSetFlags(fd, appends), ok)
		_, e = seek(fd, 0, seekSet)
		is("seek", e, ok)
		r.write(fd, "X")
		equal("text", r.text("f"), "ab23456789X")
	}},
	{"pwrite when appending", func(r run) {
		fd := r.open("f", creat, writeOnly, appends)
		r.write(fd, "ab")
		_, e := seek(fd, 0, seekSet)
		is("seek", e, ok)
		r.write(fd, "cd")
		equal("position", tell(fd), 4)
		is("pwrite", pwrite(fd, "xyz", 0), ok)
		equal("position", tell(fd), 4)
		if size := r.stat(fd).size; size != 4 && size != 7 { // POSIX, or Linux
			fail("size %d", size)
		}
	}},
	{"seek and tell", func(r run) {
		fd := r.open("f", creat, readWrite, 0)
		r.write(fd, "0123456789")
		for _, c := range []struct {
			off    int64
			whence int32
			want   int64
		}{{0, seekCur, 10}, {3, seekSet, 3}, {4, seekCur, 7}, {-2, seekCur, 5}, {-1, seekEnd, 9}, {100, seekSet, 100}} {
			at, e := seek(fd, c.off, c.whence)
			is("seek", e, ok)
			equal("position", at, c.want)
		}
		_, e := seek(fd, -1, seekSet)
		is("before the beginning", e, eInval)
		_, e = seek(fd, -1000, seekCur)
		is("before the beginning", e, eInval)
		_, e = seek(fd, 0, 3)
		is("no such whence", e, eInval)
		text, e := readFrom(fd, 10)
		is("beyond the end", e, ok)
		equal("text there", text, "")
	}},
	{"tell", func(r run) {
		fd := r.open("f", creat, readWrite, 0)
		r.write(fd, "abc")
		at := tell(fd)
		equal("position", at, 3)
	}},
	{"pread and pwrite", func(r run) {
		fd := r.open("f", creat, readWrite, 0)
		is("pwrite", pwrite(fd, "0123456789", 0), ok)
		text, e := pread(fd, 4, 3)
		is("pread", e, ok)
		equal("text", text, "3456")
		text, e = pread(fd, 10, 8)
		is("pread", e, ok)
		equal("what there is", text, "89")
		text, e = pread(fd, 10, 20)
		is("pread", e, ok)
		equal("beyond the end", text, "")
		is("with a hole", pwrite(fd, "z", 12), ok)
		equal("text", r.text("f"), "0123456789\x00\x00z")
		at, e := seek(fd, 0, seekCur)
		is("seek", e, ok)
		equal("position", at, 0)
		_, e = pread(fd, 1, -1)
		is("negative", e, eInval, eIo)
	}},
	{"vectors", func(r run) {
		fd := r.open("f", creat, readWrite, 0)
		equal("written", writev(fd, "ab", "", "cde"), 5)
		equal("text", r.text("f"), "abcde")
	}},
	{"seen by others at once", func(r run) {
		w := r.open("f", creat, writeOnly, 0)
		rd := r.open("f", 0, readOnly, 0)
		r.write(w, "x")
		text, e := readFrom(rd, 10)
		is("read", e, ok)
		equal("text", text, "x")
	}},
	{"rights to read and write", func(r run) {
		r.file("f", "hello")
		fd := r.open("f", 0, readOnly, 0)
		_, e := writeTo(fd, "x")
		is("write", e, eBadf, eNotcapable, ePerm)
		is("pwrite", pwrite(fd, "x", 0), eBadf, eNotcapable, ePerm)
		is("set the size", fdSetSize(fd, 1), eBadf, eNotcapable, eInval, ePerm)
		equal("text", r.text("f"), "hello")
		fd = r.open("f", 0, writeOnly, 0)
		_, e = readFrom(fd, 1)
		is("read", e, eBadf, eNotcapable)
	}},
	{"size", func(r run) {
		fd := r.open("f", creat, readWrite, 0)
		r.write(fd, "0123456789")
		equal("size", r.stat(fd).size, 10)
		is("smaller", fdSetSize(fd, 4), ok)
		is("larger", fdSetSize(fd, 6), ok)
		equal("text", r.text("f"), "0123\x00\x00")
		is("negative", fdSetSize(fd, -1), eInval)
	}},
	{"allocate", func(r run) {
		fd := r.open("f", creat, readWrite, 0)
		r.write(fd, "0123456789")
		is("within", fdAllocate(fd, 0, 5), ok, eNotsup)
		equal("size", r.stat(fd).size, 10)
		if e := fdAllocate(fd, 8, 12); e != eNotsup {
			is("beyond", e, ok)
			equal("size", r.stat(fd).size, 20)
		}
		is("nothing", fdAllocate(fd, 0, 0), eInval, eNotsup)
	}},
	{"advise", func(r run) {
		fd := r.open("f", creat, readWrite, 0)
		is("advise", fdAdvise(fd, 0, 10, 3), ok)
		is("no such advice", fdAdvise(fd, 0, 0, 100), eInval)
		is("no such file", fdAdvise(999, 0, 0, 0), eBadf)
	}},
	{"sync", func(r run) {
		fd := r.open("f", creat, readWrite, 0)
		is("sync", fdSync(fd), ok)
		is("datasync", fdDatasync(fd), ok)
		is("sync of a directory", fdSync(r.dir), ok)
	}},
	{"filestat of a descriptor", func(r run) {
		fd := r.open("f", creat, readWrite, 0)
		st := r.stat(fd)
		equal("type", st.kind, typeFile)
		equal("names", st.nlink, 1)
		equal("size", st.size, 0)
		if st.ino == 0 || st.mtim == 0 {
			fail("no inode or time: %+v", st)
		}
		equal("inode by another descriptor", r.stat(r.open("f", 0, readOnly, 0)).ino, st.ino)
		equal("type of the directory", r.stat(r.dir).kind, typeDir)
		kind, _, e := r.fdstat(fd)
		is("fdstat", e, ok)
		equal("type", kind, typeFile)
		kind, _, e = r.fdstat(r.dir)
		is("fdstat", e, ok)
		equal("type", kind, typeDir)
	}},
	{"filestat of a path", func(r run) {
		r.file("f", "hello")
		is("mkdir", r.mkdir("d"), ok)
		st, e := r.statPath(follow, "f")
		is("file", e, ok)
		equal("size", st.size, 5)
		equal("type", st.kind, typeFile)
		equal("inode", st.ino, r.stat(r.open("f", 0, readOnly, 0)).ino)
		st, e = r.statPath(follow, "d")
		is("directory", e, ok)
		equal("type", st.kind, typeDir)
		_, e = r.statPath(follow, "d/")
		is("directory with a slash", e, ok)
		_, e = r.statPath(follow, "missing")
		is("missing", e, eNoent)
		_, e = r.statPath(follow, "f/x")
		is("below a file", e, eNotdir)
		_, e = r.statPath(follow, "f/")
		is("file with a slash", e, eNotdir)
	}},
	{"times by a descriptor", func(r run) {
		fd := r.open("f", creat, readWrite, 0)
		is("set", fdSetTimes(fd, 1_000_000_000, 2_000_000_000, atim|mtim), ok)
		st := r.stat(fd)
		equal("atim", st.atim, 1_000_000_000)
		equal("mtim", st.mtim, 2_000_000_000)
		is("one of them", fdSetTimes(fd, 0, 3_000_000_000, mtim), ok)
		st = r.stat(fd)
		equal("atim", st.atim, 1_000_000_000)
		equal("mtim", st.mtim, 3_000_000_000)
		is("now", fdSetTimes(fd, 0, 0, atimNow|mtimNow), ok)
		if st = r.stat(fd); st.mtim <= 3_000_000_000 {
			fail("mtim did not become now")
		}
		is("both", fdSetTimes(fd, 0, 0, atim|atimNow), eInval)
		is("both", fdSetTimes(fd, 0, 0, mtim|mtimNow), eInval)
	}},
	{"times by a path", func(r run) {
		r.file("f", "")
		set := func(look int32, path string, a, m int64, flags int32) errno {
			p, n := s(path)
			return pathSetTimes(r.dir, look, p, n, a, m, flags)
		}
		is("set", set(follow, "f", 1_000_000_000, 2_000_000_000, atim|mtim), ok)
		st, e := r.statPath(follow, "f")
		is("stat", e, ok)
		equal("atim", st.atim, 1_000_000_000)
		equal("mtim", st.mtim, 2_000_000_000)
		is("directory", set(follow, ".", 1_000_000_000, 2_000_000_000, atim|mtim), ok)
		equal("mtim", r.stat(r.dir).mtim, 2_000_000_000)
		is("missing", set(follow, "missing", 0, 0, atim), eNoent)
		is("both", set(follow, "f", 0, 0, mtim|mtimNow), eInval)
	}},
	{"times of a link itself", func(r run) {
		r.file("f", "")
		is("symlink", r.symlink("f", "l"), ok)
		before, _ := r.statPath(0, "f")
		p, n := s("l")
		is("set", pathSetTimes(r.dir, 0, p, n, 1_000_000_000, 2_000_000_000, atim|mtim), ok)
		after, _ := r.statPath(0, "f")
		equal("mtim of what it points to", after.mtim, before.mtim)
		l, _ := r.statPath(0, "l")
		equal("mtim of the link", l.mtim, 2_000_000_000)
	}},
	{"readdir", func(r run) {
		all, _, e := readdir(r.dir, 4096, 0)
		is("empty", e, ok)
		equal("empty", names(all), ". ..")
		r.file("file", "")
		is("mkdir", r.mkdir("nested"), ok)
		is("symlink", r.symlink("file", "link"), ok)
		all, _, e = readdir(r.dir, 4096, 0)
		is("readdir", e, ok)
		equal("names", names(all), ". .. file link nested")
		for _, d := range all {
			if want, ok := map[string]byte{"file": typeFile, "nested": typeDir, "link": typeLink, ".": typeDir}[d.name]; ok {
				equal("type of "+d.name, d.kind, want)
			}
		}
	}},
	{"readdir's inodes", func(r run) {
		r.file("file", "")
		all, _, e := readdir(r.dir, 4096, 0)
		is("readdir", e, ok)
		for _, d := range all {
			switch d.name {
			case ".":
				equal("inode of .", d.ino, r.stat(r.dir).ino)
			case "file":
				equal("inode of file", d.ino, r.stat(r.open("file", 0, readOnly, 0)).ino)
			}
		}
	}},
	{"readdir in small steps", func(r run) {
		want := ". .."
		for i := range 40 {
			name := fmt.Sprintf("file%02d", i)
			r.file(name, "")
			want += " " + name
		}
		var all []dirent
		for cookie, rounds := uint64(0), 0; ; rounds++ {
			some, full, e := readdir(r.dir, 100, cookie)
			is("readdir", e, ok)
			all = append(all, some...)
			if !full || rounds > 100 {
				break
			}
			cookie = some[len(some)-1].next
		}
		equal("names", names(all), want)
		again, _, e := readdir(r.dir, 4096, all[9].next)
		is("from a cookie in the middle", e, ok)
		equal("names from there", names(again), names(all[10:]))
		again, _, e = readdir(r.dir, 4096, 0)
		is("from the beginning", e, ok)
		equal("names", names(again), want)
	}},
	{"readdir by a cookie", func(r run) {
		r.file("file", "")
		all, _, e := readdir(r.dir, 256, 0)
		is("readdir", e, ok)
		equal("entries", len(all), 3)
		again, _, e := readdir(r.dir, 256, all[1].next)
		is("the last", e, ok)
		equal("entries", len(again), 1)
		equal("name", again[0].name, all[2].name)
	}},
	{"readdir a lot", func(r run) {
		for i := range 300 {
			r.file(fmt.Sprint("file.", i), "")
		}
		total := 0
		for cookie := uint64(0); ; {
			some, full, e := readdir(r.dir, 256, cookie)
			is("readdir", e, ok)
			if total += len(some); !full {
				break
			}
			cookie = some[len(some)-1].next
		}
		equal("entries", total, 302)
	}},
	{"readdir after a change", func(r run) {
		r.file("a", "")
		all, _, e := readdir(r.dir, 4096, 0)
		is("readdir", e, ok)
		equal("names", names(all), ". .. a")
		r.file("b", "")
		is("unlink", r.unlink("a"), ok)
		all, _, e = readdir(r.dir, 4096, 0)
		is("readdir", e, ok)
		equal("names", names(all), ". .. b")
	}},
	{"readdir of what is none", func(r run) {
		fd := r.open("f", creat, readWrite, 0)
		_, _, e := readdir(fd, 4096, 0)
		is("file", e, eNotdir, eBadf)
		_, _, e = readdir(r.dir, 4096, 1000)
		is("cookie out of range", e, eInval, eNoent, ok)
	}},
	{"mkdir", func(r run) {
		is("mkdir", r.mkdir("d"), ok)
		is("again", r.mkdir("d"), eExist)
		is("nested", r.mkdir("d/e"), ok)
		is("with a slash", r.mkdir("s/"), ok)
		is("in a missing one", r.mkdir("m/e"), eNoent)
		r.file("f", "")
		is("over a file", r.mkdir("f"), eExist)
		is("below a file", r.mkdir("f/e"), eNotdir)
	}},
	{"rmdir", func(r run) {
		is("mkdir", r.mkdir("d"), ok)
		is("mkdir", r.mkdir("d/e"), ok)
		is("not empty", r.rmdir("d"), eNotempty)
		is("nested", r.rmdir("d/e"), ok)
		is("with a slash", r.rmdir("d/"), ok)
		is("missing", r.rmdir("d"), eNoent)
		r.file("f", "")
		is("file", r.rmdir("f"), eNotdir)
		is("file with a slash", r.rmdir("f/"), eNotdir)
	}},
	{"unlink", func(r run) {
		r.file("f", "")
		is("file with a slash", r.unlink("f/"), eNotdir)
		is("file", r.unlink("f"), ok)
		is("missing", r.unlink("f"), eNoent)
		is("mkdir", r.mkdir("d"), ok)
		is("directory", r.unlink("d"), eIsdir, ePerm)
		is("directory with a slash", r.unlink("d/"), eIsdir, ePerm)
		is("symlink", r.symlink("d", "l"), ok)
		is("link to a directory", r.unlink("l"), ok)
		is("directory stays", r.try("d", directory, readOnly), ok)
	}},
	{"unlinked and open", func(r run) {
		fd := r.open("f", creat, readWrite, 0)
		is("unlink", r.unlink("f"), ok)
		r.write(fd, "still")
		text, e := pread(fd, 10, 0)
		is("pread", e, ok)
		equal("text", text, "still")
		is("close", fdClose(fd), ok)
		is("mkdir", r.mkdir("d"), ok)
		d := r.open("d", directory, dirRights, 0)
		is("rmdir", r.rmdir("d"), ok)
		is("close", fdClose(d), ok)
	}},
	{"rename files", func(r run) {
		r.file("a", "A")
		is("rename", r.rename("a", "b"), ok)
		is("old name", r.try("a", 0, readOnly), eNoent)
		r.file("c", "C")
		is("over a file", r.rename("b", "c"), ok)
		equal("text", r.text("c"), "A")
		is("missing", r.rename("b", "d"), eNoent)
		is("onto itself", r.rename("c", "c"), ok)
		is("mkdir", r.mkdir("d"), ok)
		is("over a directory", r.rename("c", "d"), eIsdir)
		is("into a directory", r.rename("c", "d/c"), ok)
		is("into a missing one", r.rename("d/c", "e/c"), eNoent)
		is("file with a slash", r.rename("d/c/", "f"), eNotdir)
		is("to a name with a slash", r.rename("d/c", "f/"), eNotdir, eNoent)
	}},
	{"rename directories", func(r run) {
		is("mkdir", r.mkdir("a"), ok)
		r.file("a/f", "x")
		is("rename", r.rename("a", "b"), ok)
		equal("text", r.text("b/f"), "x")
		is("mkdir", r.mkdir("empty"), ok)
		is("over an empty one", r.rename("b", "empty"), ok)
		is("mkdir", r.mkdir("more"), ok)
		is("over one that is not", r.rename("more", "empty"), eNotempty)
		r.file("f", "")
		is("over a file", r.rename("more", "f"), eNotdir)
		is("into itself", r.rename("empty", "empty/x"), eInval)
	}},
	{"rename directories with slashes", func(r run) {
		is("mkdir", r.mkdir("a"), ok)
		is("from", r.rename("a/", "b"), ok)
		is("to", r.rename("b", "c/"), ok)
		is("both", r.rename("c/", "d/"), ok)
		is("there", r.try("d", directory, readOnly), ok)
	}},
	{"symlinks", func(r run) {
		r.file("f", "x")
		is("symlink", r.symlink("f", "l"), ok)
		equal("through it", r.text("l"), "x")
		st, e := r.statPath(0, "l")
		is("stat", e, ok)
		equal("type", st.kind, typeLink)
		equal("size", st.size, 1)
		st, e = r.statPath(follow, "l")
		is("stat", e, ok)
		equal("type", st.kind, typeFile)
		is("again", r.symlink("f", "l"), eExist)
		is("over a file", r.symlink("l", "f"), eExist)
		_, e = r.openAt(r.dir, 0, "l", 0, readOnly, 0)
		is("without following", e, eLoop)
		is("mkdir", r.mkdir("d"), ok)
		is("symlink", r.symlink("d", "ld"), ok)
		r.file("ld/g", "y")
		equal("through a directory", r.text("d/g"), "y")
		_, e = r.openAt(r.dir, 0, "ld", directory, readOnly, 0)
		is("directory without following", e, eLoop, eNotdir)
		is("up and down again", r.symlink("../f", "d/up"), ok)
		equal("through it", r.text("d/up"), "x")
	}},
	{"readlink", func(r run) {
		is("symlink", r.symlink("target", "l"), ok)
		text, e := r.readlink("l", 100)
		is("readlink", e, ok)
		equal("target", text, "target")
		text, e = r.readlink("l", 3)
		is("short buffer", e, ok)
		equal("cut target", text, "tar")
		r.file("f", "")
		_, e = r.readlink("f", 100)
		is("file", e, eInval)
		_, e = r.readlink("missing", 100)
		is("missing", e, eNoent)
	}},
	{"dangling symlink", func(r run) {
		is("symlink", r.symlink("missing", "l"), ok)
		is("open", r.try("l", 0, readOnly), eNoent)
		_, e := r.openAt(r.dir, 0, "l", 0, readOnly, 0)
		is("without following", e, eLoop)
		_, e = r.statPath(follow, "l")
		is("stat", e, eNoent)
		_, e = r.statPath(0, "l")
		is("stat of itself", e, ok)
		is("exclusive", r.try("l", creat|excl, readWrite), eExist)
		is("directory", r.try("l", directory, readOnly), eNoent, eNotdir, eLoop)
		is("unlink", r.unlink("l"), ok)
	}},
	{"create through a dangling symlink", func(r run) {
		is("symlink", r.symlink("made", "l"), ok)
		is("create", r.try("l", creat, readWrite), ok)
		is("target", r.try("made", 0, readOnly), ok)
	}},
	{"symlink loop", func(r run) {
		is("symlink", r.symlink("l", "l"), ok)
		is("open", r.try("l", 0, readOnly), eLoop)
		_, e := r.openAt(r.dir, 0, "l", 0, readOnly, 0)
		is("without following", e, eLoop)
		_, e = r.statPath(follow, "l")
		is("stat", e, eLoop)
		is("unlink", r.unlink("l"), ok)
	}},
	{"symlinks with slashes", func(r run) {
		is("name", r.symlink("target", "l/"), eNoent)
		is("mkdir", r.mkdir("d"), ok)
		is("over a directory", r.symlink("target", "d/"), eExist)
		r.file("f", "")
		is("over a file", r.symlink("target", "f/"), eExist, eNotdir)
		is("symlink", r.symlink("d", "ld"), ok)
		is("open", r.try("ld/", directory, readOnly), ok)
		_, e := r.statPath(0, "ld/")
		is("stat", e, ok)
	}},
	{"absolute symlink", func(r run) { is("symlink", r.symlink("/etc/passwd", "l"), ePerm, eNotcapable) }},
	{"hard links of symlinks", func(r run) {
		is("symlink", r.symlink("target", "l"), ok)
		is("dangling", r.link(0, "l", "m"), ok)
		text, e := r.readlink("m", 100)
		is("readlink", e, ok)
		equal("target", text, "target")
		r.file("f", "")
		is("to a symlink's name", r.link(0, "f", "l"), eExist)
	}},
	{"hard links", func(r run) {
		r.file("f", "x")
		is("link", r.link(0, "f", "l"), ok)
		a, b := r.open("f", 0, readOnly, 0), r.open("l", 0, readOnly, 0)
		equal("inode", r.stat(a).ino, r.stat(b).ino)
		equal("names", r.stat(a).nlink, 2)
		is("again", r.link(0, "f", "l"), eExist)
		is("onto itself", r.link(0, "f", "f"), eExist)
		is("mkdir", r.mkdir("d"), ok)
		is("to a directory's name", r.link(0, "f", "d"), eExist)
		is("of a directory", r.link(0, "d", "e"), ePerm, eAcces)
		is("elsewhere", r.link(0, "f", "d/l"), ok)
		is("missing", r.link(0, "missing", "m"), eNoent)
		is("with a slash", r.link(0, "f", "m/"), eNoent, eNotdir)
		is("unlink", r.unlink("f"), ok)
		equal("text", r.text("l"), "x")
	}},
	{"directories as files", func(r run) {
		d := r.open(".", directory, dirRights, 0)
		_, e := readFrom(d, 1)
		is("read", e, eIsdir, eBadf, eNotcapable)
		_, e = pread(d, 1, 0)
		is("pread", e, eIsdir, eBadf, eNotcapable)
		_, e = writeTo(d, "x")
		is("write", e, eIsdir, eBadf, eNotcapable)
		is("pwrite", pwrite(d, "x", 0), eIsdir, eBadf, eNotcapable)
		is("allocate", fdAllocate(d, 0, 1), eIsdir, eBadf, eNotcapable, eInval)
		is("set the size", fdSetSize(d, 0), eIsdir, eBadf, eNotcapable, eInval)
	}},
	{"seek in a directory", func(r run) {
		d := r.open(".", directory, dirRights, 0)
		_, e := seek(d, 0, seekCur)
		is("seek", e, eBadf, eNotcapable, eIsdir, eSpipe)
	}},
	{"no such descriptor", func(r run) {
		_, e := readFrom(999, 1)
		is("read", e, eBadf)
		_, e = writeTo(999, "x")
		is("write", e, eBadf)
		_, e = seek(999, 0, seekSet)
		is("seek", e, eBadf)
		_, _, e = readdir(999, 100, 0)
		is("readdir", e, eBadf)
		_, e = r.openAt(999, 0, "x", 0, readOnly, 0)
		is("open", e, eBadf)
		is("close", fdClose(999), eBadf)
		is("sync", fdSync(999), eBadf)
		is("set the size", fdSetSize(999, 1), eBadf)
		is("mkdir", run{999}.mkdir("d"), eBadf)
		fd := r.open("f", creat, readWrite, 0)
		is("close", fdClose(fd), ok)
		is("close again", fdClose(fd), eBadf)
	}},
	{"renumber", func(r run) {
		a, b := r.open("a", creat, readWrite, 0), r.open("b", creat, readWrite, 0)
		r.write(a, "A")
		is("renumber", fdRenumber(a, b), ok)
		is("old", fdClose(a), eBadf)
		r.write(b, "B")
		equal("text", r.text("a"), "AB")
		equal("text", r.text("b"), "")
		is("from none", fdRenumber(999, b), eBadf)
	}},
	{"many at once", func(r run) {
		for i := range 60 {
			r.open(fmt.Sprint("f", i), creat, readWrite, 0)
		}
	}},
	{"the preopened directory stays", func(r run) {
		is("rmdir", run{preopened}.rmdir("."), eInval, ePerm, eNotempty, eAcces)
		is("rename", run{preopened}.rename(".", "x"), eInval, ePerm, eAcces, eNotempty)
		kind, _, e := r.fdstat(preopened)
		is("fdstat", e, ok)
		equal("type", kind, typeDir)
	}},
	{"paths that lead out", func(run) {
		r := run{preopened}
		is("mkdir", r.mkdir("nested"), ok)
		for _, p := range corpus() {
			leave(r, p)
		}
	}},
	{"close the preopened directory", func(r run) { // the last one
		is("close", fdClose(preopened), ok, eNotsup)
		is("open", run{preopened}.try("x", 0, readOnly), eBadf, eNoent)
	}},
}
