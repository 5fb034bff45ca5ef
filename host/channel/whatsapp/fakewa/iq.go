package fakewa

import (
	"encoding/binary"
	"strconv"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

func child(n *waBinary.Node, tag string) *waBinary.Node {
	kids := n.GetChildren()
	for i := range kids {
		if kids[i].Tag == tag {
			return &kids[i]
		}
	}
	return nil
}

func bytesOf(n *waBinary.Node) []byte {
	if n == nil {
		return nil
	}
	b, _ := n.Content.([]byte)
	return b
}

func uint24(v uint32) []byte { return []byte{byte(v >> 16), byte(v >> 8), byte(v)} }
func uint32be(v uint32) []byte {
	return binary.BigEndian.AppendUint32(nil, v)
}

func (c *conn) reply(n *waBinary.Node, content ...waBinary.Node) {
	r := waBinary.Node{Tag: "iq", Attrs: waBinary.Attrs{"id": n.Attrs["id"], "type": "result", "from": types.ServerJID}}
	if to, ok := n.Attrs["to"]; ok {
		r.Attrs["from"] = to
	}
	if len(content) > 0 {
		r.Content = content
	}
	c.send(r)
}

func (c *conn) replyError(n *waBinary.Node, code int, text string) {
	c.send(waBinary.Node{
		Tag: "iq", Attrs: waBinary.Attrs{"id": n.Attrs["id"], "type": "error", "from": types.ServerJID},
		Content: []waBinary.Node{{Tag: "error", Attrs: waBinary.Attrs{"code": code, "text": text}}},
	})
}

// handleIQ is called with the server lock held.
func (c *conn) handleIQ(n *waBinary.Node) {
	s := c.s
	typ, _ := n.Attrs["type"].(string)
	ns, _ := n.Attrs["xmlns"].(string)
	if typ == "result" {
		if sign := child(n, "pair-device-sign"); sign != nil {
			s.finishPairing(c, sign)
		}
		return
	}
	if typ == "error" {
		s.Logf("client IQ error: %s", n.String())
		return
	}
	switch ns {
	case "w:p": // keepalive
		c.reply(n)
	case "passive":
		c.reply(n)
		if c.dev != nil && child(n, "active") != nil {
			c.flushOffline()
		}
	case "encrypt":
		c.handleEncrypt(n, typ)
	case "usync":
		c.handleUsync(n)
	case "md":
		switch {
		case child(n, "link_code_companion_reg") != nil:
			s.handleLinkCode(c, n, child(n, "link_code_companion_reg"))
		case child(n, "remove-companion-device") != nil:
			c.reply(n)
			if c.dev != nil {
				delete(c.dev.user.companions, c.dev.id)
			}
		default:
			c.replyError(n, 501, "feature-not-implemented")
		}
	case "w:m":
		c.reply(
			n,
			waBinary.Node{
				Tag:   "media_conn",
				Attrs: waBinary.Attrs{"auth": "fake", "ttl": 300, "auth_ttl": 300, "max_buckets": 12},
				Content: []waBinary.Node{
					{Tag: "host", Attrs: waBinary.Attrs{"hostname": "mmg.whatsapp.net", "type": "primary"}},
				},
			},
		)
	case "w:g2":
		c.handleGroup(n)
	case "w:sync:app:state":
		var out []waBinary.Node
		if sync := child(n, "sync"); sync != nil {
			for _, col := range sync.GetChildren() {
				out = append(
					out,
					waBinary.Node{Tag: "collection", Attrs: waBinary.Attrs{"name": col.Attrs["name"], "version": "0"}},
				)
			}
		}
		c.reply(n, waBinary.Node{Tag: "sync", Content: out})
	case "privacy":
		c.reply(n, waBinary.Node{Tag: "privacy"})
	case "urn:xmpp:whatsapp:dirty", "disappearing_mode", "urn:xmpp:whatsapp:push":
		c.reply(n)
	default:
		s.Logf("unsupported IQ %q: %s", ns, n.String())
		c.replyError(n, 501, "feature-not-implemented")
	}
}

func (c *conn) handleEncrypt(n *waBinary.Node, typ string) {
	switch {
	case typ == "get" && child(n, "count") != nil:
		count := len(c.dev.prekeys)
		if count == 0 && c.s.FewPreKeys {
			count = 1 // "you still have one": the client uploads 50 instead of 812
		}
		c.reply(n, waBinary.Node{Tag: "count", Attrs: waBinary.Attrs{"value": count}})
	case typ == "set" && child(n, "list") != nil:
		fresh := len(c.dev.prekeys) == 0
		for _, k := range child(n, "list").GetChildren() {
			c.dev.prekeys = append(c.dev.prekeys, publicPreKey{id: bytesOf(child(&k, "id")), pub: bytesOf(child(&k, "value"))})
		}
		c.dev.setSignedPreKey(child(n, "skey"))
		c.reply(n)
		if fresh {
			c.dev.user.greet(c.dev)
		}
	case typ == "get" && child(n, "key") != nil:
		var users []waBinary.Node
		for _, u := range child(n, "key").GetChildren() {
			jid, _ := u.Attrs["jid"].(types.JID)
			users = append(users, c.s.bundleNode(jid))
		}
		c.reply(n, waBinary.Node{Tag: "list", Content: users})
	default:
		c.replyError(n, 501, "feature-not-implemented")
	}
}

func (c *conn) handleUsync(n *waBinary.Node) {
	us := child(n, "usync")
	list := child(us, "list")
	wants := map[string]bool{}
	for _, q := range child(us, "query").GetChildren() {
		wants[q.Tag] = true
	}
	var out []waBinary.Node
	for _, q := range list.GetChildren() {
		jid, _ := q.Attrs["jid"].(types.JID)
		if ct := child(&q, "contact"); ct != nil { // IsOnWhatsApp asks by phone number
			num, _ := ct.Content.([]byte)
			digits := ""
			for _, r := range string(num) {
				if r >= '0' && r <= '9' {
					digits += string(r)
				}
			}
			jid = types.NewJID(digits, types.DefaultUserServer)
		}
		u := c.s.user(jid)
		node := waBinary.Node{Tag: "user", Attrs: waBinary.Attrs{"jid": jid}}
		var kids []waBinary.Node
		if wants["contact"] {
			state := "out"
			if u != nil {
				state = "in"
			}
			kids = append(kids, waBinary.Node{Tag: "contact", Attrs: waBinary.Attrs{"type": state}})
		}
		if u != nil {
			if wants["devices"] {
				devs := []waBinary.Node{{Tag: "device", Attrs: waBinary.Attrs{"id": "0"}}}
				for id := range u.companions {
					devs = append(
						devs,
						waBinary.Node{
							Tag:   "device",
							Attrs: waBinary.Attrs{"id": strconv.Itoa(int(id)), "key-index": strconv.Itoa(int(id))},
						},
					)
				}
				kids = append(kids, waBinary.Node{Tag: "devices", Content: []waBinary.Node{{Tag: "device-list", Content: devs}}})
			}
			if wants["lid"] {
				kids = append(kids, waBinary.Node{Tag: "lid", Attrs: waBinary.Attrs{"val": u.LID}})
			}
			if wants["status"] {
				kids = append(kids, waBinary.Node{Tag: "status", Content: []byte("fake")})
			}
		}
		node.Content = kids
		out = append(out, node)
	}
	c.reply(n, waBinary.Node{Tag: "usync", Content: []waBinary.Node{{Tag: "list", Content: out}}})
}

func (c *conn) handleGroup(n *waBinary.Node) {
	to, _ := n.Attrs["to"].(types.JID)
	if child(n, "participating") != nil {
		var gs []waBinary.Node
		for _, g := range c.s.groups {
			if g.has(c.dev.user) {
				gs = append(gs, g.node())
			}
		}
		c.reply(n, waBinary.Node{Tag: "groups", Content: gs})
		return
	}
	g := c.s.groups[to]
	switch {
	case g == nil:
		c.replyError(n, 404, "item-not-found")
	case !g.has(c.dev.user):
		c.replyError(n, 403, "forbidden")
	case child(n, "query") != nil:
		c.reply(n, g.node())
	default:
		c.replyError(n, 501, "feature-not-implemented")
	}
}

// flushOffline sends what queued while the device was away. Called with the
// lock held, once per connection, when the client leaves passive mode.
func (c *conn) flushOffline() {
	if c.active {
		return
	}
	c.active = true
	total := len(c.dev.pending)
	c.send(
		waBinary.Node{
			Tag:   "ib",
			Attrs: waBinary.Attrs{"from": types.ServerJID},
			Content: []waBinary.Node{{
				Tag:   "offline_preview",
				Attrs: waBinary.Attrs{"count": total, "message": total, "appdata": 0, "notification": 0, "receipt": 0},
			}},
		},
	)
	for i, n := range c.dev.pending {
		m := n
		m.Attrs = waBinary.Attrs{}
		for k, v := range n.Attrs {
			m.Attrs[k] = v
		}
		m.Attrs["offline"] = strconv.Itoa(i)
		c.send(m)
	}
	c.send(
		waBinary.Node{Tag: "ib", Attrs: waBinary.Attrs{"from": types.ServerJID}, Content: []waBinary.Node{{
			Tag:   "offline",
			Attrs: waBinary.Attrs{"count": total},
		}}},
	)
}

func now() string { return strconv.FormatInt(time.Now().Unix(), 10) }
