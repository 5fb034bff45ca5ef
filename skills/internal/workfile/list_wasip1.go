package workfile

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"slices"
	"syscall"
)

// maxList is how many entries of a directory are looked at.
const maxList = 20_000

// List returns the names of the regular files in dir, in order; none when there is no dir.
func List(dir string) ([]string, error) {
	fd, err := syscall.Open(Path(dir), syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, Plain(dir, err)
	}
	defer syscall.Close(fd)
	const head, regular = 24, 4 // of an entry: next cookie, inode, length of the name, kind
	var names []string
	buf := make([]byte, 64<<10)
	for cookie, seen := uint64(0), 0; seen < maxList; {
		n, err := syscall.ReadDir(fd, buf, cookie)
		if err != nil {
			return nil, Plain(dir, err)
		}
		rest, whole := buf[:n], 0
		for len(rest) >= head {
			size := uint64(binary.LittleEndian.Uint32(rest[16:]))
			if size > uint64(len(rest)-head) {
				break // cut: it comes again
			}
			cookie = binary.LittleEndian.Uint64(rest)
			if rest[20] == regular {
				names = append(names, string(rest[head:head+size]))
			}
			rest = rest[head+size:]
			whole++
		}
		seen += whole
		if n < len(buf) || whole == 0 {
			break
		}
	}
	slices.Sort(names)
	return names, nil
}
