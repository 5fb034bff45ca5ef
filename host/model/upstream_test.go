package model_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/model"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const oauthToken = "sk-ant-oat" + "01-abc"

// TestCredentials: each kind of key goes where its API looks for it, by the proxy and by the SDK alike,
// and nothing that was there before stays.
func TestCredentials(t *testing.T) {
	for name, tc := range map[string]struct {
		kind, key, beta             string
		wantKey, wantAuth, wantBeta string
	}{
		"key":           {kind: model.Anthropic, key: "sk-ant-api", beta: "x", wantKey: "sk-ant-api", wantBeta: "x"},
		"token":         {kind: model.Anthropic, key: oauthToken, wantAuth: "Bearer " + oauthToken, wantBeta: "oauth-2025-04-20"},
		"token, betas":  {kind: model.Anthropic, key: oauthToken, beta: "a,b", wantAuth: "Bearer " + oauthToken, wantBeta: "a,b,oauth-2025-04-20"},
		"token, itself": {kind: model.Anthropic, key: oauthToken, beta: "oauth-2025-04-20,b", wantAuth: "Bearer " + oauthToken, wantBeta: "oauth-2025-04-20,b"},
		"sandbox":       {kind: model.Anthropic, key: "proxy-managed", wantKey: "proxy-managed", wantAuth: "Bearer proxy-managed"},
		"openai":        {kind: model.OpenAI, key: "sk-x", wantAuth: "Bearer sk-x"},
		"none":          {kind: model.OpenAI},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(&bytes.Buffer{}, model.Endpoint{Kind: tc.kind, Key: keyed(tc.key)})
			up, err := model.New(cfg).Upstream(&host.Role{})
			if err != nil {
				t.Fatal(err)
			}
			h := http.Header{"X-Api-Key": {"forged", "twice"}, "Authorization": {"Bearer forged"}}
			if tc.beta != "" {
				h.Set("Anthropic-Beta", tc.beta)
			}
			if err := up.Authorize(h); err != nil {
				t.Fatal(err)
			}
			if len(h["X-Api-Key"]) > 1 || h.Get("X-Api-Key") != tc.wantKey || h.Get("Authorization") != tc.wantAuth || h.Get("Anthropic-Beta") != tc.wantBeta {
				t.Errorf("%v", h)
			}
			if tc.beta != "" || tc.key == "" {
				return
			}
			var got http.Header
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
			defer server.Close()
			p := provider(t, config(&bytes.Buffer{}, model.Endpoint{Kind: tc.kind, BaseURL: server.URL, Key: keyed(tc.key)}))
			say := []wire.LLMMessage{{Role: wire.RoleUser, Content: []wire.Block{{Type: wire.BlockText, Text: "hi"}}}}
			_, _ = p.Complete(t.Context(), wire.LLMRequest{Messages: say}, func(string) {})
			if got.Get("X-Api-Key") != tc.wantKey || got.Get("Authorization") != tc.wantAuth || !strings.Contains(got.Get("Anthropic-Beta"), tc.wantBeta) {
				t.Errorf("by the SDK: %v", got)
			}
		})
	}
}

func TestUpstream(t *testing.T) {
	cfg := config(&bytes.Buffer{}, model.Endpoint{Kind: model.Anthropic, Key: func() (string, error) { return "", host.ErrNotFound }})
	cfg.Choose = func(*host.Role) []host.ModelChoice {
		return []host.ModelChoice{{Provider: "first", Model: "a"}, {Provider: "second", Model: "b"}, {Provider: "first", Model: "c"}}
	}
	up, err := model.New(cfg).Upstream(&host.Role{})
	if err != nil || !slices.Equal(up.Models, []string{"a", "c"}) || up.BaseURL != "https://api.anthropic.com" {
		t.Errorf("%+v, %v", up, err)
	}
	if err := up.Authorize(http.Header{}); !errors.Is(err, host.ErrDenied) || !strings.Contains(err.Error(), "[providers.first]") {
		t.Error(err)
	}
	cfg.Choose = func(*host.Role) []host.ModelChoice { return []host.ModelChoice{{Provider: model.Offline}} }
	if _, err := model.New(cfg).Upstream(&host.Role{Name: "r"}); !errors.Is(err, host.ErrUnavailable) {
		t.Error(err)
	}
}
