package broker

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
)

// guard refuses what holds a secret of the host, or with shapes what looks like a key of anybody.
// Which one it is goes to the log and the row, not to the guest.
func (b *Broker) guard(what string, shapes bool, texts ...string) error {
	names := b.cfg.Leaks().Find(shapes, texts...)
	if len(names) == 0 {
		return nil
	}
	no := deny("%s holds a secret of the host, or what looks like a key", what)
	no.secrets = strings.Join(names, ", ")
	return no
}

// guardHTTP looks at what the guest, or a server that redirects, wants to be sent: before the host
// adds credentials of its own.
func (b *Broker) guardHTTP(h *hop) error {
	var head strings.Builder
	_ = h.header.Write(&head) // of a Builder
	return b.guard("the request", true, h.to.url.String(), head.String(), string(h.body))
}

// redactHTTP takes secrets out of an answer: of a server that repeats what it was sent, even as the
// name of a header.
func (b *Broker) redactHTTP(header http.Header, body string) (text, what string) {
	m, found := b.cfg.Leaks(), []string(nil)
	redact := func(s string) string {
		out, names := m.Redact(s, true)
		found = append(found, names...)
		return out
	}
	for name, values := range header {
		if redact(name) != name {
			delete(header, name)
		}
		for i := range values {
			values[i] = redact(values[i])
		}
	}
	text = redact(body)
	return text, redacted(found)
}

// redacted is what a row says of what was taken out.
func redacted(names []string) string {
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return "; redacted: " + strings.Join(slices.Compact(names), ", ")
}

// redactJSON takes secrets out of the texts of a request to a model, rather than refuse it: a
// conversation into which somebody pasted a key goes on, and the model never gets the key.
func (b *Broker) redactJSON(raw []byte) ([]byte, string, error) {
	m := b.cfg.Leaks()
	found := m.Find(true, string(raw))
	if len(found) == 0 {
		return raw, "", nil
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, "", invalid("the request does not have the shape of the capability's call")
	}
	v = eachText(v, func(s string) string { s, _ = m.Redact(s, true); return s })
	out, err := encode(v)
	if err != nil {
		return nil, "", err
	}
	return out, redacted(found), b.guard("the request", true, string(out))
}

// eachText changes every string of a JSON value, but no key of an object.
func eachText(v any, change func(string) string) any {
	switch v := v.(type) {
	case string:
		return change(v)
	case []any:
		for i := range v {
			v[i] = eachText(v[i], change)
		}
	case map[string]any:
		for k := range v {
			v[k] = eachText(v[k], change)
		}
	}
	return v
}

// plain is d without secrets: names of hosts and keys are the guest's words.
func (b *Broker) plain(d host.Decision) host.Decision {
	m := b.cfg.Leaks()
	d.Target, _ = m.Redact(d.Target, false)
	d.Reason, _ = m.Redact(d.Reason, false)
	skill, _ := m.Redact(string(d.Skill), false)
	d.Skill = host.SkillName(skill)
	return d
}
