package main

import (
	"context"

	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/host/skill"
)

// skillsDir is where plugins are and where what became of them is kept.
func (a *app) skillsDir() (skillsDir, stateDir string, err error) {
	cfg, err := a.loadConfig()
	if err != nil {
		return "", "", err
	}
	return cfg.SkillsDir, cfg.StateDir, nil
}

// admitter compiles plugins on the configured engine. The func releases it.
func (a *app) admitter(ctx context.Context) (skill.Admitter, func(), error) {
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, nil, err
	}
	e, err := daemon.OpenEngine(ctx, cfg, a.log)
	if err != nil {
		return nil, nil, err
	}
	return e.Admitter(a.log.Named("admit")), func() { _ = e.Close() }, nil
}
