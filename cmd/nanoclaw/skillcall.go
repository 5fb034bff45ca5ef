package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func (a *app) skillCallCmd() *cobra.Command {
	var call daemon.Call
	var grants []string
	c := &cobra.Command{
		Use:   "call FILE TOOL [JSON] [--grant G]… [--workspace DIR]",
		Short: "Call one tool of one file in an agent container of its own",
		Long: `Call one tool of one .wasm file in an agent container of its own, under exactly the
grants on the command line. Without grants the skill can compute and nothing else.

  --grant "http=GET https://api.example.com/v1/"     one host, one path prefix; several methods: GET,POST
  --grant "http=GET http://127.0.0.1:8080/ private"  … on a private or loopback address
  --grant public_web                                 GET and HEAD of public addresses
  --grant fs=ro:PATH, fs=rw:PATH                     a directory below the workspace; "." is all of it
  --grant llm, --grant kv                            the configured model; keys that are gone afterwards
  --grant history                                    a history with nothing in it

The result is JSON on stdout. Exit code: 0 ok, 1 tool error, 2 usage, 3 denied or refused,
4 timed out, 5 crashed; the reason is on stderr.`,
		Example: `  nanoclaw skill call plugins/calc.wasm calc '{"expression":"6*7"}'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) > 3 {
				return &exitError{exitUsage, errors.New("skill call takes FILE TOOL [JSON]; see 'nanoclaw skill call --help'")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			call.Tool, call.Arguments = args[1], []byte("{}")
			if len(args) == 3 {
				call.Arguments = []byte(args[2])
			}
			if err := checkArguments(call.Arguments); err != nil {
				return err
			}
			var err error
			if call.Grants, err = daemon.ParseGrants(grants); err != nil {
				return &exitError{exitUsage, err}
			}
			return a.skillCall(cmd, args[0], call)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&grants, "grant", nil, "give the skill a capability (repeatable)")
	f.StringVar(&call.Workspace, "workspace", "", "directory for fs grants (default: a new one, removed afterwards)")
	return c
}

func checkArguments(b []byte) error {
	var object map[string]json.RawMessage
	if len(b) > wire.MaxToolArgs {
		err := fmt.Errorf("the arguments have %d bytes; at most %d are taken", len(b), wire.MaxToolArgs)
		return &exitError{exitUsage, err}
	}
	if err := json.Unmarshal(b, &object); err != nil {
		return &exitError{exitUsage, fmt.Errorf("the arguments must be one JSON object: %w", err)}
	}
	return nil
}

func (a *app) skillCall(cmd *cobra.Command, file string, call daemon.Call) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	calls, err := daemon.OpenCalls(cmd.Context(), cfg, a.log, a.vault, file)
	if err != nil {
		return &exitError{exitCode(err), err}
	}
	defer calls.Close()
	call.Notice = func(what string) { fmt.Fprintln(a.stderr, "nanoclaw:", what) }
	out, err := calls.Call(cmd.Context(), call)
	if err != nil {
		return &exitError{exitCode(err), err}
	}
	if out.Outcome == wire.OutcomeOK || out.Outcome == wire.OutcomeToolError {
		if err := a.printJSON(out.Result); err != nil {
			return err
		}
	}
	if len(out.Denied) > 0 {
		for _, d := range out.Denied {
			fmt.Fprintln(a.stderr, "denied:", d)
		}
	}
	code := outcomeCode(out)
	if code == exitOK {
		return nil
	}
	msg := out.Message
	if msg == "" {
		msg = out.Result.Text()
	}
	return &exitError{code, errors.New(msg)}
}

// outcomeCode is the exit code of a call. A tool error after a refused capability counts
// as denied: that is what the caller has to act on.
func outcomeCode(o wire.ToolOutcome) int {
	switch o.Outcome {
	case wire.OutcomeOK:
		return exitOK
	case wire.OutcomeToolError:
		if len(o.Denied) > 0 {
			return exitDenied
		}
		return exitFailure
	case wire.OutcomeDenied:
		return exitDenied
	case wire.OutcomeTimeout:
		return exitTimeout
	case wire.OutcomeCrashed:
		return exitCrashed
	case wire.OutcomeInvalid, wire.OutcomeNotFound:
		return exitUsage
	}
	return exitFailure
}

// exitCode is the exit code of an error that happened before or around a call.
func exitCode(err error) int {
	switch {
	case errors.Is(err, host.ErrDenied):
		return exitDenied
	case errors.Is(err, host.ErrTimeout):
		return exitTimeout
	case errors.Is(err, host.ErrCrashed):
		return exitCrashed
	case errors.Is(err, host.ErrInvalid), errors.Is(err, host.ErrNotFound):
		return exitUsage
	}
	return exitFailure
}
