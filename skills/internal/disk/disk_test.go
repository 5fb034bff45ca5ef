package disk

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
)

func TestFilesAndDirectories(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(MkdirAll(dir + "/a/b/c"))
	must(MkdirAll(dir + "/a/b"))
	must(Write(dir+"/a/f", syscall.O_EXCL, []byte("0123456789")))
	must(os.Symlink("f", dir+"/a/link"))
	for path, want := range map[string]Info{"/a/b": {Kind: Dir}, "/a/f": {File, 10}, "/a/link": {File, 10}} {
		if got, err := Stat(dir + path); err != nil || got.Kind != want.Kind || want.Kind == File && got != want {
			t.Errorf("%s: %+v, %v, want %+v", path, got, err, want)
		}
	}
	if got, err := ReadDir(dir + "/a"); err != nil || !slices.Equal(got, []Entry{{"b", Dir}, {"f", File}, {"link", Other}}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, c := range []struct {
		offset int64
		limit  int
		want   string
	}{{0, 100, "0123456789"}, {0, 3, "012"}, {7, 100, "789"}, {10, 1, ""}, {0, 0, ""}} {
		if b, err := Read(dir+"/a/f", c.offset, c.limit); err != nil || string(b) != c.want {
			t.Errorf("%d from %d: %q, %v, want %q", c.limit, c.offset, b, err, c.want)
		}
	}
	must(Write(dir+"/a/f", syscall.O_TRUNC, []byte("new")))
	must(Remove(dir + "/a/link"))
	must(Remove(dir + "/a/b/c"))
	for name, c := range map[string]struct{ got, want error }{
		"write over":   {Write(dir+"/a/f", syscall.O_EXCL, nil), syscall.EEXIST},
		"directory":    {Write(dir+"/a", syscall.O_TRUNC, nil), syscall.EISDIR},
		"not there":    {Exists(dir + "/a/link"), syscall.ENOENT},
		"remove twice": {Remove(dir + "/a/b/c"), syscall.ENOENT},
		"not empty":    {Remove(dir + "/a"), syscall.ENOTEMPTY},
		"through file": {MkdirAll(dir + "/a/f/g"), syscall.ENOTDIR},
		"list a file":  {func() error { _, err := ReadDir(dir + "/a/f"); return err }(), syscall.ENOTDIR},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
}

func TestSort(t *testing.T) {
	for n := range 40 {
		var all []Entry
		for i := range n {
			all = append(all, Entry{strconv.Itoa(i * 7919 % 31), File})
		}
		want := slices.Clone(all)
		slices.SortFunc(want, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
		if sortByName(all); !slices.Equal(all, want) {
			t.Errorf("got %v, want %v", all, want)
		}
	}
}
