package main

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/nanoclaw/nanoclaw/host/config"
)

// chart is a Mermaid flowchart. A node's name in it is a number, and its label is escaped, so
// that nothing from the configuration can be more than the text of a label.
type chart struct {
	text strings.Builder
	ids  map[string]string // by shape and label
}

// Shapes of nodes.
const (
	roleShape  = "[ ]"
	chatShape  = "([ ])"
	mountShape = "[( )]"
	netShape   = "{{ }}"
	modelShape = "[/ /]"
)

// mermaid draws what the report says. The three legs are drawn so that a node can show all of
// them: private data is yellow, untrusted content has a thick red line, a way out a dashed one.
func mermaid(cfg *config.Config, report config.Report) string {
	m := chart{ids: make(map[string]string)}
	m.text.WriteString("flowchart LR\n" +
		"  classDef private fill:#ffe08a,color:#000\n" +
		"  classDef untrusted stroke:#c00,stroke-width:4px\n" +
		"  classDef outward stroke-dasharray:8 4\n")
	for _, r := range report.Roles {
		m.node(roleShape, "role "+string(r.Role), len(r.Private) > 0, len(r.Untrusted) > 0, len(r.Outward) > 0)
	}
	for _, r := range report.Roles {
		role, chats := m.ids[roleShape+"role "+string(r.Role)], r.Chats
		for _, t := range cfg.Routes {
			if t.Role == r.Role { // r.Chats are the role's routes, in turn
				others := len(t.Senders) > 0
				m.edge(m.node(chatShape, "chat "+chats[0], false, others, others), "<-->", "", role)
				chats = chats[1:]
			}
		}
		for _, d := range r.Delegates {
			m.edge(role, "-->", "asks", m.ids[roleShape+"role "+string(d)])
		}
		for _, t := range cfg.Roles[r.Role].Mounts {
			arrow, how := "-->", "is read"
			if t.Write {
				arrow, how = "<-->", "is read and written"
			}
			m.edge(m.node(mountShape, "directory "+t.Path, true, false, false), arrow, how, role)
		}
		for _, n := range r.Network {
			m.edge(role, "<-->", "", m.node(netShape, "network: "+n, false, true, true))
		}
		m.edge(role, "-->", "", m.node(modelShape, "model "+r.Model, false, false, len(r.SentTo) > 0))
	}
	return m.text.String()
}

// node adds a node, once, and returns its name.
func (m *chart) node(shape, label string, private, untrusted, outward bool) string {
	id, ok := m.ids[shape+label]
	if !ok {
		id = fmt.Sprintf("n%d", len(m.ids))
		m.ids[shape+label] = id
		left, right, _ := strings.Cut(shape, " ")
		fmt.Fprintf(&m.text, "  %s%s\"%s\"%s\n", id, left, escaped(label), right)
		for i, is := range []bool{private, untrusted, outward} {
			if is {
				fmt.Fprintf(&m.text, "  class %s %s\n", id, []string{"private", "untrusted", "outward"}[i])
			}
		}
	}
	return id
}

func (m *chart) edge(from, arrow, label, to string) {
	if label != "" {
		label = "|" + label + "|"
	}
	fmt.Fprintf(&m.text, "  %s %s%s %s\n", from, arrow, label, to)
}

// escaped writes everything but letters, digits and what is plain in a label as a number, and
// what cannot be seen, such as a change of direction, as a replacement character.
func escaped(label string) string {
	var b strings.Builder
	for _, c := range label {
		switch {
		case unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune(" .,:/_-", c):
			b.WriteRune(c)
		case !unicode.IsPrint(c):
			b.WriteRune(unicode.ReplacementChar)
		default:
			fmt.Fprintf(&b, "#%d;", c)
		}
	}
	return b.String()
}
