package main

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The upper halves of the encodings that fonts name; a space is a code without a glyph.
const (
	winAnsiHigh = "€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ" +
		"\u00a0¡¢£¤¥¦§¨©ª«¬\u00ad®¯°±²³´µ¶·¸¹º»¼½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ"
	macRomanHigh = "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø¿¡¬√ƒ≈∆«»…\u00a0" +
		"ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ"
	standardHigh = "                                 ¡¢£⁄¥ƒ§¤'“«‹›ﬁﬂ –†‡· ¶•‚„”»…‰ ¿ `´ˆ˜¯˘˙¨ ˚¸ ˝˛ˇ—                " +
		"Æ ª    ŁØŒº     æ   ı  łøœß    "
)

// encoding is what the codes of a simple font mean.
type encoding [256]string

func newEncoding(base name) *encoding {
	high := standardHigh
	switch base {
	case "WinAnsiEncoding":
		high = winAnsiHigh
	case "MacRomanEncoding":
		high = macRomanHigh
	}
	e := &encoding{}
	for c := ' '; c < 127; c++ {
		e[c] = string(c)
	}
	if high == standardHigh {
		e['\''], e['`'] = "’", "‘"
	}
	c := 128
	for _, r := range high {
		if r != ' ' && c < 256 {
			e[c] = string(r)
		}
		c++
	}
	return e
}

// glyphs are names of the Adobe Glyph List and what they mean, besides letters, letters
// with accents, and uniXXXX. A name ends at the last letter of ASCII.
const glyphs = "" +
	" space  exclam! quotedbl\" numbersign# dollar$ percent% ampersand& quotesingle' quoteright’ quoteleft‘" +
	" parenleft( parenright) asterisk* plus+ comma, hyphen- minus− period. slash/ zero0 one1 two2 three3" +
	" four4 five5 six6 seven7 eight8 nine9 colon: semicolon; less< equal= greater> question? at@ bracketleft[" +
	" backslash\\ bracketright] asciicircum^ underscore_ grave` braceleft{ bar| braceright} asciitilde~" +
	" exclamdown¡ cent¢ sterling£ currency¤ yen¥ brokenbar¦ section§ dieresis¨ copyright© ordfeminine-ª" +
	" guillemotleft« logicalnot¬ registered® macron¯ degree° plusminus± twosuperior² threesuperior³ acute´" +
	" mu-µ paragraph¶ periodcentered· cedilla¸ onesuperior¹ ordmasculine-º guillemotright» onequarter¼" +
	" onehalf½ threequarters¾ questiondown¿ AE-Æ Eth-Ð multiply× Oslash-Ø Thorn-Þ germandbls-ß ae-æ eth-ð" +
	" divide÷ oslash-ø thorn-þ Dcroat-Đ dcroat-đ Hbar-Ħ hbar-ħ dotlessi-ı IJ-Ĳ ij-ĳ kgreenlandic-ĸ Ldot-Ŀ" +
	" ldot-ŀ Lslash-Ł lslash-ł Eng-Ŋ eng-ŋ OE-Œ oe-œ Tbar-Ŧ tbar-ŧ longs-ſ florin-ƒ dotlessj-ȷ circumflex-ˆ" +
	" caron-ˇ breve-˘ dotaccent-˙ ring-˚ ogonek-˛ tilde-˜ hungarumlaut-˝ endash– emdash— quotesinglbase‚" +
	" quotedblleft“ quotedblright” quotedblbase„ dagger† daggerdbl‡ bullet• ellipsis… perthousand‰" +
	" guilsinglleft‹ guilsinglright› fraction⁄ Euro€ trademark™ fi-ﬁ fl-ﬂ ff-ﬀ ffi-ﬃ ffl-ﬄ nbspace\u00a0" +
	" sfthyphen\u00ad arrowleft← arrowup↑ arrowright→ arrowdown↓ infinity∞ notequal≠ lessequal≤ greaterequal≥" +
	" approxequal≈ partialdiff∂ summation∑ product∏ radical√ integral∫ lozenge◊ Alpha-Α Beta-Β Gamma-Γ" +
	" Delta-Δ Epsilon-Ε Theta-Θ Lambda-Λ Xi-Ξ Pi-Π Sigma-Σ Phi-Φ Psi-Ψ Omega-Ω alpha-α beta-β gamma-γ delta-δ" +
	" epsilon-ε zeta-ζ eta-η theta-θ iota-ι kappa-κ lambda-λ nu-ν xi-ξ pi-π rho-ρ sigma-σ tau-τ upsilon-υ" +
	" phi-φ chi-χ psi-ψ omega-ω nonbreakingspace\u00a0 softhyphen\u00ad scommaaccent-ș Scommaaccent-Ș" +
	" tcommaaccent-ț Tcommaaccent-Ț "

// accents are letters with an accent: of each pair the letter, then both together. The
// first seven are in the order of compose.
var accents = [...][2]string{
	{"acute", "AÁaáCĆcćEÉeéIÍiíLĹlĺNŃnńOÓoóRŔrŕSŚsśUÚuúYÝyýZŹzź"},
	{"grave", "AÀaàEÈeèIÌiìOÒoòUÙuùNǸnǹ"},
	{"circumflex", "AÂaâCĈcĉEÊeêGĜgĝHĤhĥIÎiîJĴjĵOÔoôSŜsŝUÛuûWŴwŵYŶyŷ"},
	{"dieresis", "AÄaäEËeëIÏiïOÖoöUÜuüYŸyÿ"},
	{"tilde", "AÃaãIĨiĩNÑnñOÕoõUŨuũ"},
	{"ring", "AÅaåUŮuů"},
	{"caron", "CČcčDĎdďEĚeěLĽlľNŇnňRŘrřSŠsšTŤtťZŽzžGǦgǧ"},
	{"cedilla", "CÇcçSŞsşTŢtţ"},
	{"commaaccent", "GĢgģKĶkķLĻlļNŅnņRŖrŗ"},
	{"macron", "AĀaāEĒeēIĪiīOŌoōUŪuū"},
	{"breve", "AĂaăEĔeĕGĞgğIĬiĭOŎoŏUŬuŭ"},
	{"ogonek", "AĄaąEĘeęIĮiįUŲuų"},
	{"dotaccent", "CĊcċEĖeėGĠgġIİZŻzż"},
	{"hungarumlaut", "OŐoőUŰuű"},
}

// glyph is what a glyph's name means; "" when that is not known.
func glyph(s string) string {
	s, _, _ = strings.Cut(s, ".") // a.sc is a small capital a
	if len(s) == 1 {
		return s
	}
	if s == "" || len(s) > 40 || strings.ContainsAny(s, " -") {
		return ""
	}
	if first, rest, ok := strings.Cut(s, "_"); ok { // f_i is both
		a, b := glyph(first), glyph(rest)
		if a != "" && b != "" {
			return a + b
		}
	}
	for _, after, ok := strings.Cut(glyphs, " "+s); ok; _, after, ok = strings.Cut(after, " "+s) {
		r, n := utf8.DecodeRuneInString(after)
		if r == '-' && after[n] != ' ' {
			r, n = utf8.DecodeRuneInString(after[n:])
			n++
		}
		isName := r|0x20 >= 'a' && r|0x20 <= 'z' // s is the beginning of another name
		if !isName && strings.HasPrefix(after[n:], " ") {
			return string(r)
		}
	}
	for _, a := range accents {
		if len(s) == 1+len(a[0]) && s[1:] == a[0] {
			return accented(s[0], a[1])
		}
	}
	for _, prefix := range []string{"uni", "u"} {
		hex, ok := strings.CutPrefix(s, prefix)
		if code, err := strconv.ParseUint(hex, 16, 24); ok && err == nil && len(hex) >= 4 && utf8.ValidRune(rune(code)) {
			return string(rune(code))
		}
	}
	return ""
}

// accented is the letter with the accent of a list of accents; "" when there is none.
func accented(letter byte, list string) string {
	i := strings.IndexByte(list, letter)
	if i < 0 {
		return ""
	}
	r, _ := utf8.DecodeRuneInString(list[i+1:])
	return string(r)
}

// utf16Text is what a string of UTF-16, big end first, says.
func utf16Text(s string) string {
	units := make([]uint16, 0, len(s)/2)
	for i := 0; i+1 < len(s); i += 2 {
		units = append(units, uint16(s[i])<<8|uint16(s[i+1]))
	}
	return string(utf16.Decode(units))
}

// textString reads a string that is for people: UTF-16 or UTF-8 by its mark, else about
// Latin-1.
func textString(s string) string {
	if rest, ok := strings.CutPrefix(s, "\xfe\xff"); ok {
		return utf16Text(rest)
	}
	if rest, ok := strings.CutPrefix(s, "\xef\xbb\xbf"); ok {
		return strings.ToValidUTF8(rest, "\uFFFD")
	}
	e := newEncoding("WinAnsiEncoding")
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteString(e[c])
	}
	return b.String()
}
