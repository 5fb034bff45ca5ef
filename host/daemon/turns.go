package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/store"
)

// Turns lists turns, newest first, with or without a running host.
func Turns(ctx context.Context, cfg *config.Config, f host.TurnFilter) (out []host.TurnRow, err error) {
	err = withStore(ctx, cfg.StateDir, func(s *store.Store) error {
		if s != nil {
			out, err = s.Turns(ctx, f)
		}
		return err
	})
	return out, err
}

// TurnOf is one turn, with what was said, done and answered in it. id may be the beginning of its ID.
func TurnOf(ctx context.Context, cfg *config.Config, id string) (t host.TurnRow, err error) {
	err = withStore(ctx, cfg.StateDir, func(s *store.Store) error {
		if s == nil {
			return fmt.Errorf("%w: there are no turns yet", host.ErrNotFound)
		}
		t, err = s.TurnOf(ctx, id)
		return err
	})
	return t, err
}

// RetryTurn runs a failed turn again: at once in the host that runs, else at the next start.
func RetryTurn(ctx context.Context, cfg *config.Config, id string) (t host.TurnRow, now bool, err error) {
	if t, err = TurnOf(ctx, cfg, id); err != nil {
		return t, false, err
	}
	if t.Parent != "" {
		return t, false, fmt.Errorf("%w: turn %s is part of %s; run that again", host.ErrInvalid, t.ID, t.Parent)
	}
	if t.State != string(store.Failed) {
		return t, false, fmt.Errorf("%w: turn %s is %s; only a failed turn is run again", host.ErrInvalid, t.ID, t.State)
	}
	cl, err := Dial(ctx, cfg.StateDir)
	if err == nil {
		resp, err := cl.do(ctx, http.MethodPost, "/v1/turns/"+url.PathEscape(string(t.ID))+"/retry", nil)
		if err == nil {
			err = resp.Body.Close()
		}
		return t, true, err
	}
	err = withStore(ctx, cfg.StateDir, func(s *store.Store) error {
		_, err := s.Retry(ctx, t.ID)
		return err
	})
	return t, false, err
}

// serveRetry answers POST /v1/turns/{id}/retry.
func (d *Daemon) serveRetry(w http.ResponseWriter, r *http.Request) {
	err := d.router.Retry(r.Context(), host.TurnID(r.PathValue("id")))
	switch {
	case errors.Is(err, host.ErrNotFound):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}
