package secret_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host/secret"
)

// stored is a value as keys look, put together so that no scanner takes this file for a leak.
var stored = "zQ7" + "-pX_9vLk2/WmT8+rYb4" + "Hs6NfJd1Gc3Ae5Uo0"

// spellings are what the matcher promises to find, by name; every one of them with s inside.
var spellings = map[string]func(s string) string{
	"raw":               func(s string) string { return s },
	"base64":            func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64, one off":   func(s string) string { return base64.StdEncoding.EncodeToString([]byte("u" + s + "xy")) },
	"base64, two off":   func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte("u:" + s + "?")) },
	"base64url":         func(s string) string { return base64.URLEncoding.EncodeToString([]byte("\xff\xfe\xfd" + s)) },
	"base64url raw":     func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("u" + s)) },
	"base64 in lines":   func(s string) string { return lines(base64.StdEncoding.EncodeToString([]byte(s)), "\r\n") },
	"base64, percent":   func(s string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("a" + s))) },
	"hex":               func(s string) string { return hex.EncodeToString([]byte(s)) },
	"HEX":               func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"percent where due": url.QueryEscape,
	"percent, all":      func(s string) string { return each(s, "%%%02x") },
	"percent, twice":    func(s string) string { return url.QueryEscape(each(s, "%%%02X")) },
	"one percent":       func(s string) string { return s[:5] + fmt.Sprintf("%%%02x", s[5]) + s[6:] },
	"JSON":              func(s string) string { return each(s, `\u%04x`) },
	"JSON, two":         func(s string) string { return strings.ReplaceAll(each(s, `\u%04X`), `\`, `\\`) },
	"JSON slash":        func(s string) string { return strings.ReplaceAll(s, "/", `\/`) },
	"JavaScript":        func(s string) string { return each(s, `\x%02x`) },
	"HTML decimal":      func(s string) string { return each(s, "&#%d;") },
	"HTML, open":        func(s string) string { return each(s, "&#%d") },
	"HTML zeros":        func(s string) string { return each(s, "&#0000%d;") },
	"HTML hex":          func(s string) string { return each(s, "&#x%X;") },
	"HTML names": func(s string) string {
		return strings.NewReplacer("+", "&plus;", "/", "&sol;", "_", "&lowbar;").Replace(s)
	},
	"HTML of percent":  func(s string) string { return strings.ReplaceAll(each(s, "%%%02x"), "%", "&#37;") },
	"three layers":     func(s string) string { return strings.ReplaceAll(each(each(s, "%%%02x"), `\u%04x`), `\`, "&#92;") },
	"host name":        strings.ToLower,
	"UTF-16":           func(s string) string { return each(s, "%c\x00") },
	"line breaks":      func(s string) string { return lines(s, "\n ") },
	"bytes before":     func(s string) string { return "\xff\xc3" + s + "\xe2\x80" },
	"half a rune":      func(s string) string { return "\xe2\x80" + s },
	"half an escape":   func(s string) string { return `%&\` + s + `\u00` },
	"zero-width":       func(s string) string { return lines(s, "\u200b") },
	"joiners":          func(s string) string { return lines(s, "\u200d\u200c\u2060\ufeff") },
	"soft hyphens":     func(s string) string { return each(s, "%c\u00ad") },
	"tags":             func(s string) string { return each(s, "%c\U000e0041\ufe0f\u034f\u202e") },
	"escaped noise":    func(s string) string { return lines(s, "%E2%80%8B&#8203;&zwnj;\\u200b&shy;") },
	"noise in escapes": func(s string) string { return each(s, "%%\u200b%02x") },
}

func each(s, format string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

func lines(s, sep string) string {
	var b strings.Builder
	for i, c := range []byte(s) {
		b.WriteByte(c)
		if i%7 == 3 {
			b.WriteString(sep)
		}
	}
	return b.String()
}

// TestSpellings (L02, L04, L05, L07): every spelling is found, by name, and gone after Redact.
func TestSpellings(t *testing.T) {
	m := secret.NewMatcher([]secret.Key{secret.New("other", "another value, not there"), secret.New("brave", stored)})
	long := secret.NewMatcher([]secret.Key{secret.New("pem", strings.Repeat(stored, 30)+"end of it")})
	for name, spell := range spellings {
		t.Run(name, func(t *testing.T) {
			text := "before " + spell(stored) + " after"
			if got := m.Find(false, "", text); !slices.Equal(got, []string{"brave"}) {
				t.Errorf("found %q in %q", got, text)
			}
			out, _ := m.Redact(text, false)
			if again := m.Find(false, out); again != nil || !strings.Contains(out, "[secret brave]") ||
				!strings.HasPrefix(out, "before ") || !strings.HasSuffix(out, " after") {
				t.Errorf("redacted: %q", out)
			}
			out, found := long.Redact("before "+spell(strings.Repeat(stored, 30)+"end of it")+" after", false)
			if len(found) != 1 || len(out) > 60 {
				t.Errorf("a long value: %q in %q", found, out)
			}
		})
	}
}

// TestLongTexts: escapes far from each other and from the values, so that views sleep and wake, with
// shapes that run on meanwhile.
func TestLongTexts(t *testing.T) {
	m := secret.NewMatcher([]secret.Key{secret.New("x", stored)})
	for name, spell := range spellings {
		for n := 0; n < 400; n += 13 {
			far := strings.Repeat("ab ", n)
			for _, lead := range []string{"%41", "%2541", `\u0041`, "&amp;#65;", "é\u200b%", "eyJ.eyJ" + strings.Repeat("x", n) + "%41"} {
				text := far + lead + far + spell(stored) + " " + far + lead + spell(stored) + " " + far
				out, found := m.Redact(text, false)
				if len(found) != 1 || strings.Count(out, "[secret x]") != 2 || m.Find(false, out) != nil {
					t.Fatalf("%s, %d bytes apart after %q: %.200q", name, 3*n, lead, out)
				}
				if found := m.Find(true, text); !slices.Contains(found, "x") {
					t.Fatalf("%s, %d bytes apart after %q: with shapes %q", name, 3*n, lead, found)
				}
			}
		}
	}
}

// TestNotFound: what is promised not to be found, so that nobody relies on it, and ordinary text.
func TestNotFound(t *testing.T) {
	short := secret.NewMatcher([]secret.Key{secret.New("pin", "hunter2"), secret.New("", ""), secret.New("brave", stored)})
	reversed := []byte(stored)
	slices.Reverse(reversed)
	for _, text := range []string{
		"", "hunter2", "the password is hunter2", string(reversed), stored[:len(stored)-1], stored[1:], "[secret brave]",
		strings.Map(func(r rune) rune { return r ^ 1 }, stored), stored[:9] + "%" + stored[10:], stored[:9] + `\u00` + stored[13:],
	} {
		if out, found := short.Redact(text, true); found != nil || out != text {
			t.Errorf("%q: found %q", text, found)
		}
	}
}

// TestWords: of "Bearer TOKEN" the token alone is a secret too, and a blank may be a plus.
func TestWords(t *testing.T) {
	m := secret.NewMatcher([]secret.Key{secret.New("a", "Bearer "+stored), secret.New("b", "correct horse battery")})
	for text, want := range map[string]string{
		stored: "[secret a]", "Bearer " + stored + ".": "[secret a].", "q=correct+horse+battery&x": "q=[secret b]&x",
		"correct%20horse%20battery": "[secret b]", "correct horse": "correct horse",
	} {
		if out, _ := m.Redact(text, false); out != want {
			t.Errorf("%q became %q", text, out)
		}
	}
}

// TestShapes (L01, L02, L04, L05): well-known forms of keys that nobody stored.
func TestShapes(t *testing.T) {
	m := secret.NewMatcher(nil)
	r := strings.Repeat
	for _, key := range []string{
		"AKIA" + "IOSFODNN7EXAMPLE", "ASIA" + r("Z9", 8), "sk-" + r("aB3d", 12), "sk-proj-" + r("a_-9", 12),
		"sk-ant-" + "api03-" + r("Ab9_", 20), "sk-svcacct-" + r("a9", 20), "gh" + "p_" + r("a1B2", 9), "gh" + "o_" + r("a1B2", 9),
		"gh" + "s_" + r("a1B2", 9), "github_" + "pat_" + r("11ABC", 8), "glpat-" + r("x", 20), "xoxb-" + "123456789012-" + r("a", 24),
		"xoxp-" + r("1234-", 8), "sk_live_" + r("4eC3", 6), "rk_live_" + r("4eC3", 6), "SG." + r("a", 22) + "." + r("b", 43),
		"SK" + r("0f", 16), "AIza" + r("Sy-_x", 7), "sess-" + r("a", 40), "npm_" + r("a9", 18), "hf_" + r("aB", 17),
		"https://hooks.slack.com/services/" + "T00000000/B00000000/" + r("X", 24), "123456789:AA" + r("h-_", 11),
		"eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0." + r("sig", 12),
		"-----BEGIN RSA PRIVATE KEY-----\n" + r(r("MIIE", 16)+"\n", 3) + "-----END RSA PRIVATE KEY-----",
		`-----BEGIN PRIVATE KEY-----\n` + r("MIIE", 16) + `\n-----END PRIVATE KEY-----`,
	} {
		n := len(key) - 6
		for name, text := range map[string]string{
			"plain": key, "after 0xff": "\xff" + key, "in a word": "abc" + key, "zero-width": key[:n] + "\u200b\u200d" + key[n:],
			"percent": key[:n] + fmt.Sprintf("%%%02X", key[n]) + key[n+1:], "HTML": each(key, "&#%d;"), "JSON": each(key, `\u%04x`),
		} {
			if name == "in a word" && strings.HasPrefix(key, "AIza") {
				continue // anywhere in base64 is too often
			}
			out, found := m.Redact("x "+text+"!", true)
			if len(found) != 1 || !strings.Contains(out, "[redacted key]") || m.Find(true, out) != nil {
				t.Errorf("%s %s: %q in %q", key, name, found, out)
			}
			if found := m.Find(false, text); found != nil {
				t.Errorf("%s: found without shapes: %q", key, found)
			}
		}
		if found := m.Find(true, key[:12], strings.ReplaceAll(key, "", ",")); found != nil {
			t.Errorf("part of %s: %q", key, found)
		}
	}
	for _, text := range []string{
		"ask-anthropic-about-sk-ant-or-sk-ant-ibiotics, risk-management-and-task-scheduling-for-everybody",
		"https://example.com/services/Transportation/PublicTransportation/Schedules", "eyJhbGciOiJIUzI1NiJ9",
		"-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA", "the PRIVATE KEY----- line", "12:AA", "SKODA",
		"d41d8cd98f00b204e9800998ecf8427e", "data:image/png;base64," + r("iVBORw0KGgo", 40),
	} {
		if found := m.Find(true, text); found != nil {
			t.Errorf("%q: %q", text, found)
		}
	}
}

// cpuTime is what this process has used so far: a busy machine does not count.
func cpuTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestLinear (L11): 100 KB of whatever nearly matches takes less than 100 ms; here with slack for
// slow machines, and for the race detector, by what an ordinary text takes.
func TestLinear(t *testing.T) {
	keys := []secret.Key{secret.New("a", stored), secret.New("b", strings.Repeat("ab", 40)), secret.New("c", strings.Repeat("a", 64<<10))}
	m := secret.NewMatcher(keys)
	near := []string{
		stored[:39], strings.Repeat("a", 47), "ab", "%", "%2", "%25", "&", "&a", "&#", "&#x", `\`, `\u`, `\u00`, "\u200b", "\xe2", "sk-",
		"AKIA", "AKIA" + "AAAAAAAAAAAAAAA", "sk-ant-" + "sk-proj-", "eyJ.eyJ.", ":AA", "-----BEGIN PRIVATE KEY-----", "xoxb-xoxp-", "SG.SG.",
		"&CounterClockwiseContourIntegral", "%E2%80%8B", "&amp;", "MIIE",
	}
	start := cpuTime(t)
	for range 10 {
		m.Find(true, strings.Repeat("An ordinary text. ", 10<<10/18))
	}
	ordinary := cpuTime(t) - start
	for _, s := range near {
		text := strings.Repeat(s, 100<<10/len(s))
		start := cpuTime(t)
		m.Find(true, text)
		if d := cpuTime(t) - start; d > 500*time.Millisecond && d > 1000*ordinary {
			t.Errorf("100 KB of %q take %s", s, d)
		} else if testing.Verbose() {
			t.Logf("%.20q %s", s, d)
		}
	}
}

// FuzzMatcher: a planted value is found in every spelling, in any noise, and a stream of any parts
// lets nothing of it through.
func FuzzMatcher(f *testing.F) {
	f.Add("noise", "more", uint64(1))
	f.Add("%", "2", uint64(2))
	f.Add("zQ7-pX_9vLk2/WmT8", "\u200b&", uint64(3))
	f.Add("\xe2\x80", "\\", uint64(4))
	names := make([]string, 0, len(spellings))
	for name := range spellings {
		names = append(names, name)
	}
	slices.Sort(names)
	f.Fuzz(func(t *testing.T, before, after string, seed uint64) {
		if len(before)+len(after) > 4096 {
			return
		}
		r := rand.New(rand.NewPCG(seed, 1))
		value := stored
		if seed%3 == 0 {
			value = strings.Repeat(stored, 4)
		}
		m := secret.NewMatcher([]secret.Key{secret.New("x", value), secret.New("y", value[4:30])})
		name := names[seed%uint64(len(names))]
		text := before + " " + spellings[name](value) + " " + after
		out, found := m.Redact(text, true)
		if !slices.Contains(found, "x") {
			t.Fatalf("%s: not found in %q", name, text)
		}
		if again := m.Find(false, out); again != nil {
			t.Fatalf("%s: %q is still in %q", name, again, out)
		}
		var got strings.Builder
		s := m.Stream(func(part string) {
			if part == "" {
				t.Fatal("an empty part")
			}
			got.WriteString(part)
		})
		for rest := text; rest != ""; {
			n := 1 + r.IntN(min(len(rest), 40))
			s.Write(rest[:n])
			rest = rest[n:]
		}
		s.Close()
		if want, _ := m.Redact(text, false); got.String() != want {
			t.Fatalf("%s: in parts %q, at once %q", name, got.String(), want)
		}
	})
}

// TestStreamIsPrompt: text that begins no value is passed on at once.
func TestStreamIsPrompt(t *testing.T) {
	m := secret.NewMatcher([]secret.Key{secret.New("x", "12345-67890-abc")})
	var got []string
	s := m.Stream(func(part string) { got = append(got, part) })
	for _, part := range []string{"Hello ", "world 12", "3 and ", "12345-678", "90-abc", "!", " 1"} {
		s.Write(part)
	}
	s.Close()
	if want := "Hello |world |123 and |[secret x]|!| |1"; strings.Join(got, "|") != want {
		t.Errorf("got %q", got)
	}
}

// TestMatcherDoesNotPrint: it holds what it looks for as Keys.
func TestMatcherDoesNotPrint(t *testing.T) {
	m := secret.NewMatcher([]secret.Key{secret.New("x", stored)})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if s := strings.ToLower(fmt.Sprintf(verb, m)); m.Find(false, s) != nil {
			t.Errorf("%s prints %.300s", verb, s)
		}
	}
}

func BenchmarkMatcher(b *testing.B) {
	var keys []secret.Key
	for i := range 20 {
		keys = append(keys, secret.New(fmt.Sprint(i), fmt.Sprint(i)+stored))
	}
	m := secret.NewMatcher(keys)
	prose := strings.Repeat("The quick brown fox jumps over the lazy dog; nothing is hidden in it, is there? ", 1300)
	for name, text := range map[string]string{
		"prose": prose, "json": strings.Repeat(`{"id":17,"text":"a \"quoted\" word\nand a line","url":"https:\/\/example.com\/a?b=c%20d"},`, 1200),
		"html": "<p>" + html.EscapeString(strings.Repeat(`<a href="/x?y=1&z=2">it's</a> `, 2400)),
	} {
		for _, shapes := range []bool{false, true} {
			b.Run(fmt.Sprint(name, "/shapes=", shapes), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					m.Find(shapes, text)
				}
			})
		}
	}
}
