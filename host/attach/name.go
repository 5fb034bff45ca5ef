package attach

import (
	"fmt"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/nanoclaw/nanoclaw/host"
)

const (
	maxName  = 80 // bytes of a safe name without the digest
	maxExt   = 12
	digestIn = 12 // hex digits of the digest in a name
)

// Name is what a file is called in workspaces and chats: what is harmless of name, which is anybody's
// choice, and a part of the digest. It is one element of a path, has no control, bidirectional or
// invisible character and no leading dot.
func Name(name, mimeType string, d host.Digest) string {
	stem, ext := safe(name, mimeType)
	_, sum, _ := strings.Cut(string(d), ":")
	return stem + "-" + sum[:min(len(sum), digestIn)] + ext
}

// Safe is that without the digest.
func Safe(name, mimeType string) string {
	stem, ext := safe(name, mimeType)
	return stem + ext
}

func safe(name, mimeType string) (stem, ext string) {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 { // senders may say whole paths
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
			return -1
		case unicode.In(r, unicode.L, unicode.M, unicode.Nd), strings.ContainsRune("._-+", r):
			return r
		}
		return ' '
	}, strings.ToValidUTF8(name, " "))
	name = strings.Trim(strings.Join(strings.Fields(name), "_"), "._-")
	ext = path.Ext(name)
	if len(ext) > maxExt || strings.ContainsFunc(ext[min(len(ext), 1):], notASCIIWord) {
		ext = ""
	}
	stem = strings.TrimRight(strings.TrimSuffix(name, ext), "._-")
	if ext == "" {
		ext = extensions[mimeType]
	}
	if stem == "" {
		stem = kind(mimeType)
	}
	if len(stem) > maxName-len(ext) {
		stem = strings.ToValidUTF8(stem[:maxName-len(ext)], "")
	}
	return stem, ext
}

func notASCIIWord(r rune) bool {
	return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

// extensions of files that came without a name.
var extensions = map[string]string{
	"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/webp": ".webp", "application/pdf": ".pdf",
	"audio/ogg": ".ogg", "audio/mpeg": ".mp3", "audio/mp4": ".m4a", "video/mp4": ".mp4", "text/plain": ".txt",
}

// kind is the word for a file of a type.
func kind(mimeType string) string {
	top, _, _ := strings.Cut(mimeType, "/")
	if slices.Contains([]string{"image", "audio", "video"}, top) {
		return top
	}
	return "file"
}

// vague are what http.DetectContentType says of bytes that may be of many types.
var vague = []string{"application/octet-stream", "application/ogg", "application/zip", "video/mp4", "text/plain"}

// Type is the MIME type of a file that begins with head. claimed is what its sender says.
func Type(head []byte, claimed string) string {
	real, _, _ := mime.ParseMediaType(http.DetectContentType(head))
	said, _, err := mime.ParseMediaType(claimed)
	top, sub, _ := strings.Cut(said, "/")
	shown := top == "image" || said == "application/pdf"
	text := top == "text" || said == "application/json"
	word := len(said) <= 100 && sub != "" && !strings.ContainsFunc(said, func(r rune) bool { return r > unicode.MaxASCII })
	if err != nil || !word || shown || !slices.Contains(vague, real) || text != (real == "text/plain") {
		return real
	}
	return said
}

// Seen reports whether a model may be shown a file of this type.
func Seen(mimeType string) bool { return kind(mimeType) == "image" || mimeType == "application/pdf" }

// Line is how the text of a message names a file that was kept.
func Line(f host.File) string {
	return fmt.Sprintf("[%s: %s/%s (%s, %s)]", kind(f.Type), host.AttachDir, f.Name, f.Type, Size(f.Size))
}

// Size is n bytes in words.
func Size(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%d KB", (n+1<<9)>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
