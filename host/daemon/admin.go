package daemon

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/console"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const maxAnswer = 8 << 20 // bytes that a host says to a client at once

// maxSocketPath is what sockaddr_un takes on every system we build for, its NUL included.
const maxSocketPath = 104

// SocketPath is where the host of a state directory listens. A state directory too deep
// for a socket address gets one in a private directory of this user under the temp directory.
func SocketPath(state string) string {
	p := filepath.Join(state, "admin.sock")
	if len(p) < maxSocketPath {
		return p
	}
	sum := sha256.Sum256([]byte(state))
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("nanoclaw-%d", os.Getuid()))
	return filepath.Join(dir, hex.EncodeToString(sum[:8])+".sock")
}

// listen opens the admin socket, mode 0600. The caller holds the state lock, so a socket
// file that is there belongs to nobody.
func listen(state string) (net.Listener, error) {
	path := SocketPath(state)
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	if !st.IsDir() || st.Mode().Perm()&0o022 != 0 || !owned(st) {
		return nil, fmt.Errorf("admin socket: %w: %s must be a directory that only you can write", host.ErrDenied, dir)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	return l, os.Chmod(path, 0o600)
}

// Status answers GET /v1/status.
type Status struct {
	Version    string     `json:"version"`
	PID        int        `json:"pid"`
	Config     string     `json:"config"`
	State      string     `json:"state"`
	Started    time.Time  `json:"started"`
	Runtime    string     `json:"runtime"`
	Isolated   bool       `json:"isolated"` // false: no containers, WASM isolation only
	Engine     string     `json:"engine"`   // "ok", or why agents cannot start now
	Agents     int64      `json:"agents"`   // ever made
	Working    int        `json:"working"`  // in a turn now
	Containers int        `json:"containers"`
	Spares     int        `json:"spares"`
	Messages   int64      `json:"messages"`
	Waiting    int64      `json:"waiting"`
	Turns      int64      `json:"turns"`
	Failed     int64      `json:"failed"`
	Outbox     int64      `json:"outbox"`
	Unknown    int64      `json:"unknown"` // sends whose outcome is not known
	Skills     []SkillRow `json:"skills"`
	Kept       []string   `json:"kept,omitempty"` // roles whose containers serve more than one turn

	Channels []string                 `json:"channels"`
	Budgets  map[host.RoleName][]Used `json:"budgets"`
	Pending  []host.Approval          `json:"pending"` // what waits for the owner's answer
}

// SkillRow is one plugin file in a Status.
type SkillRow struct {
	File  string `json:"file"`
	Name  string `json:"name,omitempty"`
	State string `json:"state"`
	Why   string `json:"why,omitempty"`
}

// Client talks to a running host.
type Client struct{ http *http.Client }

// Dial finds the host of a state directory; host.ErrNotFound when none runs there.
func Dial(ctx context.Context, state string) (*Client, error) {
	path := SocketPath(state)
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("%w: no host runs on %s", host.ErrNotFound, state)
	}
	conn.Close()
	return &Client{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) },
	}}}, nil
}

// Status asks for the host's state.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.ask(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// ask decodes the answer of a request.
func (c *Client) ask(ctx context.Context, method, path string, body []byte, out any) error {
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return wire.Decode(resp.Body, maxAnswer, out)
}

// Reload asks the host to look at its configuration and at plugins/ now.
func (c *Client) Reload(ctx context.Context) error {
	resp, err := c.do(ctx, http.MethodPost, "/v1/reload", nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Say delivers one message; nil means that the host has it on disk.
func (c *Client) Say(ctx context.Context, chat string, in console.Input) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, http.MethodPost, "/v1/chat/"+url.PathEscape(chat)+"/messages", b)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Listen calls f for every frame of a chat until ctx or the host ends.
func (c *Client) Listen(ctx context.Context, chat string, f func(console.Frame)) error {
	resp, err := c.do(ctx, http.MethodGet, "/v1/chat/"+url.PathEscape(chat)+"/events", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(nil, 8<<20)
	for sc.Scan() {
		var frame console.Frame
		if err := wire.Unmarshal(sc.Bytes(), &frame); err != nil {
			return fmt.Errorf("chat: %w", err)
		}
		f(frame)
	}
	return sc.Err()
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://nanoclaw"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: the host went away: %w", host.ErrUnavailable, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	msg, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	kind := host.ErrUnavailable
	if resp.StatusCode/100 == 4 {
		kind = host.ErrInvalid
	}
	text := strings.TrimSpace(string(msg))
	return nil, fmt.Errorf("%w: %s", kind, strings.TrimPrefix(text, kind.Error()+": "))
}
