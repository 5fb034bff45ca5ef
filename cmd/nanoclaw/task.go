package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/console"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func (a *app) taskCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "task", Short: "What agents are asked by themselves, at its time: show, make and change it",
		Long: "A task asks its agent something at its times. Skills of a role with tasks = true make tasks for their own\n" +
			"agent; these commands are for you, over all agents, beside a running host or without one.",
	}
	c.AddCommand(a.taskListCmd(), a.taskShowCmd("show", "Show one task and its last runs"),
		a.taskShowCmd("log", "Show all runs that are kept of a task"), a.taskSetCmd("add PROMPT", "Make a task"),
		a.taskSetCmd("update N", "Change a task: what is not given stays"))
	for op, short := range map[string]string{
		"pause": "Pause a task", "resume": "Resume a paused task, from now on", "cancel": "End a task for good",
		"run": "Run a task now, besides its times",
	} {
		c.AddCommand(&cobra.Command{
			Use: op + " N", Short: short, Args: usageArgs(cobra.ExactArgs(1)),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.changeTask(cmd, args[0], wire.TaskRequest{Op: op})
			},
		})
	}
	return c
}

func (a *app) taskListCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List the tasks of all agents", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			tasks, err := daemon.Tasks(cmd.Context(), cfg)
			if err == nil && len(tasks) == 0 && !asJSON {
				fmt.Fprintln(a.stderr, "there are no tasks; 'nanoclaw task add' makes one")
			}
			if err != nil {
				return err
			}
			return a.printTasks(tasks, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) printTasks(tasks []host.Task, asJSON bool) error {
	if asJSON {
		return a.printJSON(append([]host.Task{}, tasks...))
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, t := range tasks {
		when := strings.TrimSuffix(string(t.State)+": "+t.Why, ": ")
		if zone, err := time.LoadLocation(t.Timezone); err == nil && !t.Next.IsZero() {
			when = t.Next.In(zone).Format("next Mon 2006-01-02 15:04 MST")
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%.60q\n", t.N, t.Agent.ID, t.Schedule, when, t.Prompt)
	}
	return w.Flush()
}

func (a *app) taskShowCmd(name, short string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: name + " N", Short: short, Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, runs, err := a.findTask(cmd, args[0])
			if err != nil {
				return err
			}
			if name == "show" {
				runs = runs[:min(len(runs), 5)]
			}
			if asJSON && name == "log" {
				return a.printJSON(append([]host.Run{}, runs...))
			} else if asJSON {
				return a.printJSON(struct {
					host.Task
					Runs []host.Run `json:"runs"`
				}{t, append([]host.Run{}, runs...)})
			}
			if name == "show" {
				fmt.Fprintf(a.stdout, "task %d of agent %s, made by %s\n%s\n%s in %s, misfire %s, state %s %s\n", t.N, t.Agent.ID,
					t.Author, t.Prompt, t.Schedule, t.Timezone, t.Misfire, t.State, t.Why)
				if t.Gate != nil {
					fmt.Fprintf(a.stdout, "gate %s %s\n", t.Gate.Tool, t.Gate.Arguments)
				}
			}
			for _, r := range runs {
				due, how := r.Due.Local().Format(time.DateTime), cmp.Or(r.Outcome, "open")
				fmt.Fprintf(a.stdout, "%s  %-7s %s %s\n", due, how, r.Turn, r.Error)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) findTask(cmd *cobra.Command, arg string) (t host.Task, runs []host.Run, err error) {
	n, err := strconv.ParseInt(arg, 10, 64)
	if err != nil {
		return t, nil, &exitError{exitUsage, fmt.Errorf("%q is no number of a task; see 'nanoclaw task list'", arg)}
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return t, nil, err
	}
	return daemon.Task(cmd.Context(), cfg, n)
}

func (a *app) changeTask(cmd *cobra.Command, arg string, r wire.TaskRequest) error {
	t, _, err := a.findTask(cmd, arg)
	if err != nil {
		return err
	}
	r.ID = t.N
	return a.doTask(cmd, t.Agent, r)
}

func (a *app) doTask(cmd *cobra.Command, agent host.Agent, r wire.TaskRequest) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	tasks, err := daemon.ChangeTask(cmd.Context(), cfg, agent, r)
	if err != nil {
		return err
	}
	return a.printTasks(tasks, false)
}

func (a *app) taskSetCmd(use, short string) *cobra.Command {
	var r wire.TaskRequest
	var gate, args, role, chat string
	c := &cobra.Command{
		Use: use, Short: short, Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			if f := cmd.Flags(); f.Changed("gate") || f.Changed("gate-args") {
				r.Gate = &wire.TaskGate{Tool: gate, Arguments: wire.RawMessage(args)}
			}
			if r.Op = "update"; !strings.HasPrefix(use, "add") {
				return a.changeTask(cmd, words[0], r)
			}
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			name := host.RoleName(role)
			if cfg.Roles[name] == nil {
				return fmt.Errorf("%w: there is no role %q", host.ErrNotFound, role)
			}
			r.Op, r.Prompt = "create", words[0]
			agent := host.Agent{Role: name, Channel: console.Name, Chat: host.ChatID(chat)}
			agent.ID = host.NewAgentID(name, agent.Channel, "", agent.Chat)
			return a.doTask(cmd, agent, r)
		},
	}
	f := c.Flags()
	f.StringVar(&r.Schedule, "schedule", "", `when: "0 9 * * 1-5", "every 15m" or "2026-12-01 09:00"`)
	f.StringVar(&r.Timezone, "timezone", "", "time zone of the schedule (default: yours)")
	f.StringVar(&r.Misfire, "misfire", "", "times at which no host ran: run-once (default) or skip")
	f.StringVar(&gate, "gate", "", "tool that is asked before the model, by its public name")
	f.StringVar(&args, "gate-args", "", "its arguments, JSON")
	if strings.HasPrefix(use, "add") {
		f.StringVar(&role, "role", "main", "role of the agent")
		f.StringVar(&chat, "chat", "default", "conversation of 'nanoclaw chat' that it belongs to")
	} else {
		f.StringVar(&r.Prompt, "prompt", "", "what the agent is asked")
	}
	return c
}
