package disk

import (
	"encoding/binary"
	"syscall"
)

// maxList is how many entries of a directory are looked at.
const maxList = 20_000

// kinds of WASI.
func kind(filetype byte) Kind {
	switch filetype {
	case 3:
		return Dir
	case 4:
		return File
	}
	return Other
}

func kindOf(st *syscall.Stat_t) Kind { return kind(st.Filetype) }

// ReadDir returns what is in a directory, by name.
func ReadDir(path string) ([]Entry, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	const head = 24 // of an entry: next cookie, inode, length of the name, kind
	var all []Entry
	buf := make([]byte, 64<<10)
	for cookie, seen := uint64(0), 0; seen < maxList; {
		n, err := syscall.ReadDir(fd, buf, cookie)
		if err != nil {
			return nil, err
		}
		rest, whole := buf[:n], 0
		for len(rest) >= head {
			size := uint64(binary.LittleEndian.Uint32(rest[16:]))
			if size > uint64(len(rest)-head) {
				break // cut: it comes again
			}
			cookie = binary.LittleEndian.Uint64(rest)
			if name := string(rest[head : head+size]); name != "." && name != ".." {
				all = append(all, Entry{name, kind(rest[20])})
			}
			rest = rest[head+size:]
			whole++
		}
		seen += whole
		if n < len(buf) || whole == 0 {
			break
		}
	}
	sortByName(all)
	return all, nil
}
