package html

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// latinEntities are the names of U+00A0 to U+00FF, in order.
const latinEntities = " nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn" +
	" sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde" +
	" Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde" +
	" Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil" +
	" egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave" +
	" uacute ucirc uuml yacute thorn yuml "

// otherEntities are the other names that prose uses.
const otherEntities = " amp& lt< gt> quot\" apos' ndash– mdash— lsquo‘ rsquo’ ldquo“ rdquo” sbquo‚ bdquo„ hellip…" +
	" bull• dagger† Dagger‡ permil‰ lsaquo‹ rsaquo› euro€ trade™ larr← uarr↑ rarr→ darr↓ harr↔ minus− ne≠ le≤ ge≥" +
	" asymp≈ infin∞ radic√ sum∑ alpha-α beta-β gamma-γ delta-δ epsilon-ε lambda-λ mu-μ pi-π sigma-σ omega-ω Delta-Δ" +
	" Omega-Ω check✓ star☆ OElig-Œ oelig-œ Scaron-Š scaron-š Yuml-Ÿ" +
	" ensp\u2002 emsp\u2003 thinsp\u2009 zwnj\u200c zwj\u200d" +
	" hearts♥ prime′ Prime″ "

// entity reads the reference that s, just after an ampersand, begins with.
func entity(s string) (text string, length int) {
	if strings.HasPrefix(s, "#") {
		return numeric(s)
	}
	n := 0
	for n < len(s) && n < 10 && (s[n]|0x20 >= 'a' && s[n]|0x20 <= 'z' || s[n] >= '0' && s[n] <= '9') {
		n++
	}
	if n == 0 {
		return "", 0
	}
	name, length := s[:n], n
	if n < len(s) && s[n] == ';' {
		length++
	} else if name != "amp" && name != "lt" && name != "gt" && name != "quot" && name != "nbsp" {
		return "", 0 // others do without the semicolon in old pages, and in query strings by accident
	}
	if i := strings.Index(latinEntities, " "+name+" "); i >= 0 {
		return string(rune(0xa0 + strings.Count(latinEntities[:i], " "))), length
	}
	if _, after, ok := strings.Cut(otherEntities, " "+name); ok {
		r, n := utf8.DecodeRuneInString(after)
		if r == '-' {
			r, _ = utf8.DecodeRuneInString(after[n:])
		}
		if r >= utf8.RuneSelf || strings.ContainsRune("&<>\"'", r) {
			return string(r), length
		}
	}
	return "", 0
}

// numeric reads &#233; and &#xe9; after their ampersand.
func numeric(s string) (text string, length int) {
	n, base := 1, 10
	if len(s) > 1 && s[1]|0x20 == 'x' {
		n, base = 2, 16
	}
	start := n
	for n < len(s) && n-start < 7 && isHexDigit(s[n], base) {
		n++
	}
	code, err := strconv.ParseUint(s[start:n], base, 32)
	if err != nil {
		return "", 0
	}
	if n < len(s) && s[n] == ';' {
		n++
	}
	r := rune(code)
	switch {
	case code >= 0x80 && code < 0xa0:
		r = []rune(Windows1252)[code-0x80]
	case code == 0 || !utf8.ValidRune(r):
		r = utf8.RuneError
	}
	return string(r), n
}

func isHexDigit(c byte, base int) bool {
	return c >= '0' && c <= '9' || base == 16 && c|0x20 >= 'a' && c|0x20 <= 'f'
}

// Unescape replaces the character references in s.
func Unescape(s string) string {
	i := strings.IndexByte(s, '&')
	if i < 0 {
		return s
	}
	var b strings.Builder
	for i >= 0 {
		b.WriteString(s[:i])
		s = s[i+1:]
		text, n := entity(s)
		if n == 0 {
			text = "&"
		}
		b.WriteString(text)
		s = s[n:]
		i = strings.IndexByte(s, '&')
	}
	return b.String() + s
}

// Windows1252 is what the bytes 0x80 to 0x9f mean in pages that say Latin-1, as
// browsers read them.
const Windows1252 = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ"
