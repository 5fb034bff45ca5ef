package main

import "strings"

// corpus are paths that would leave the directory if any part of the way took them for what they look
// like. As names of files inside, most of them are odd and allowed.
func corpus() []string {
	out := []string{
		"../etc/passwd", "nested/../secret.txt", "nested/./../../secret.txt", "/etc/passwd", "//server/share/x", "C:/Windows/win.ini",
		`C:\Windows\win.ini`, "D:secret.txt", `\\server\share\x`, "file:///etc/passwd", "https://example.com/file",
		"safe\u202ename.txt", "safe\ufeffname.txt", "nested/../..", "..", "../", "../.", "../ws-evil/x", "../ws/../secret.txt",
		"/proc/self/root/etc/passwd", "../secret.txt\x00.txt", ".../.../secret.txt",
		strings.Repeat("a", 5000), strings.Repeat("a/", 10_000), strings.Repeat("../", 10_000) + "etc/passwd", strings.Repeat("n", 256),
	}
	for _, dots := range []string{"..", "...", ". .", ".. ", " ..", "%2e%2e", "%252e%252e"} {
		for _, sep := range []string{"/", "//", `\`, `\\`, "%2f", "%5c"} {
			for _, target := range []string{"secret.txt", "etc/passwd", "Windows/win.ini", "CON", "NUL", "aux.txt"} {
				out = append(out, dots+sep+target, "nested"+sep+dots+sep+dots+sep+target)
			}
		}
	}
	return out
}

// leave tries to do everything to p, and to what it is moved to.
func leave(r run, p string) {
	is("bait", r.try("bait", creat, readWrite), ok, eExist)
	if fd, e := r.openAt(r.dir, follow, p, 0, readOnly, 0); e == ok {
		if text, _ := readFrom(fd, 4096); strings.Contains(text, "top secret") {
			fail("%.80q reads %q", p, text)
		}
		fdClose(fd)
	}
	if fd, e := r.openAt(r.dir, follow, p, directory, dirRights, 0); e == ok {
		if list, _, _ := readdir(fd, 4096, 0); strings.Contains(names(list), "secret") {
			fail("%.80q lists %s", p, names(list))
		}
		fdClose(fd)
	}
	_, _ = r.statPath(follow, p)
	_, _ = r.readlink(p, 100)
	for _, flags := range []int32{creat, creat | trunc, creat | excl} {
		if fd, e := r.openAt(r.dir, follow, p, flags, readWrite, 0); e == ok {
			_, _ = writeTo(fd, "stolen")
			fdClose(fd)
		}
	}
	_ = r.rename(p, "moved")
	_ = r.link(0, p, "linked")
	_ = r.link(0, "bait", p)
	_ = r.unlink(p)
	_ = r.symlink(p, "pointer")
	if fd, e := r.openAt(r.dir, follow, "pointer", 0, readOnly, 0); e == ok {
		if text, _ := readFrom(fd, 4096); strings.Contains(text, "top secret") {
			fail("a link to %.80q reads %q", p, text)
		}
		fdClose(fd)
	}
	_ = r.rename("bait", p)
	_ = r.unlink(p)
	_ = r.mkdir(p)
	_ = r.rmdir(p)
	for _, left := range []string{"moved", "linked", "pointer", "bait"} {
		_ = r.unlink(left)
	}
}
