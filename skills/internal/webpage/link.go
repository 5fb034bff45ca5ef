package webpage

import "strings"

// Resolve makes an address on the page base absolute. It is "" for what is no
// address to go to: a place on the same page, a script, inline data.
func Resolve(base, ref string) string {
	ref = strings.TrimSpace(ref)
	ref, _, _ = strings.Cut(ref, "#")
	if ref == "" || len(ref) > MaxURL || strings.ContainsAny(ref, " \t\r\n<>()") {
		return ""
	}
	if i := strings.IndexAny(ref, ":/?"); i > 0 && ref[i] == ':' {
		switch strings.ToLower(ref[:i]) {
		case "http", "https", "mailto":
			return ref
		}
		return ""
	}
	scheme, rest, ok := strings.Cut(base, "://")
	if !ok || len(base) > MaxURL {
		return ""
	}
	if strings.HasPrefix(ref, "//") {
		return scheme + ":" + ref
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, _, _ = strings.Cut(rest, "?")
	host, path, _ := strings.Cut(rest, "/")
	if ref[0] == '?' {
		return scheme + "://" + host + "/" + path + ref
	}
	if ref[0] != '/' {
		ref = path[:strings.LastIndexByte(path, '/')+1] + ref
	}
	return scheme + "://" + host + clean(ref)
}

// clean takes . and .. out of the path of ref, which becomes absolute.
func clean(ref string) string {
	path, query, hasQuery := strings.Cut(ref, "?")
	var out []string
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, p := range parts {
		isLast := i == len(parts)-1
		if p == ".." && len(out) > 0 {
			out = out[:len(out)-1]
		}
		if p != "." && p != ".." {
			out = append(out, p)
		} else if isLast {
			out = append(out, "")
		}
	}
	s := "/" + strings.Join(out, "/")
	if hasQuery {
		s += "?" + query
	}
	return s
}
