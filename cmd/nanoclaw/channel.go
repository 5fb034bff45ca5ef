package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/whatsapp"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/daemon"
)

func (a *app) channelCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "channel", Short: "Link and unlink what messages come from",
		Long: "The console (nanoclaw chat) is always there. WhatsApp is linked to a phone, as WhatsApp Web is: its\n" +
			"keys are a file of this installation's own. A running host takes changes up at once.",
	}
	var phone string
	add := &cobra.Command{
		Use: "add whatsapp", Short: "Link a phone: by a QR code, or with --phone by a code to type",
		Args: usageArgs(onlyWhatsApp),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.link(cmd, phone) },
	}
	add.Flags().StringVar(&phone, "phone", "", `number of the phone ("+15551234567"): shows a code to type there`)
	var force bool
	rm := &cobra.Command{
		Use: "rm whatsapp", Short: "Unlink the phone and delete the keys", Args: usageArgs(onlyWhatsApp),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.unlink(cmd, force) },
	}
	rm.Flags().BoolVar(&force, "force", false, "delete the keys even if WhatsApp cannot be told; the host must not run")
	list := &cobra.Command{
		Use: "list", Short: "List the channels and where they stand", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listChannels(cmd) },
	}
	chats := &cobra.Command{
		Use: "chats", Short: "List the chats that messages came from, under the names that routes use", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listChats(cmd) },
	}
	c.AddCommand(add, list, chats, rm)
	return c
}

func onlyWhatsApp(_ *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] != whatsapp.Name {
		return errors.New(`say which channel: "whatsapp" is the only one that is linked`)
	}
	return nil
}

func (a *app) link(cmd *cobra.Command, phone string) error {
	ctx := cmd.Context()
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	stop := func() {}
	number, err := whatsapp.Pair(ctx, daemon.WhatsApp(cfg, a.log), phone, func(s whatsapp.Step) {
		stop()
		stop = a.showStep(s)
	})
	stop()
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Linked as %s.\n", number)
	cl, err := daemon.Dial(ctx, cfg.StateDir)
	if err == nil {
		err = cl.Reload(ctx)
	} else {
		fmt.Fprintln(a.stdout, "Start the host: nanoclaw run")
		err = nil
	}
	fmt.Fprintf(a.stdout, "To be answered when you write to yourself there: nanoclaw route add whatsapp %s main\n", number)
	return err
}

// showStep shows a code, and on a terminal how long it is good. stop ends that.
func (a *app) showStep(s whatsapp.Step) (stop func()) {
	terminal := isTerminal(a.stdout)
	if terminal && s.QR != "" {
		fmt.Fprint(a.stdout, "\x1b[H\x1b[2J") // one code, not two, before the camera
	}
	if s.Note != "" {
		fmt.Fprintln(a.stdout, s.Note)
	}
	fmt.Fprintln(a.stdout, "On the phone: WhatsApp, Settings, Linked devices, Link a device.")
	if s.Code != "" {
		fmt.Fprintf(a.stdout, "Choose \"Link with phone number instead\" there, and type: %s\n", s.Code)
	} else {
		fmt.Fprintln(a.stdout, "Then scan this:")
		qrterminal.GenerateHalfBlock(s.QR, qrterminal.L, a.stdout)
	}
	left := func() time.Duration { return time.Until(s.Until).Round(time.Second) }
	if !terminal {
		fmt.Fprintln(a.stdout, "It is good for", left())
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			fmt.Fprintf(a.stdout, "%sIt is good for %s. Ctrl-C leaves.", erase, max(0, left()))
			select {
			case <-tick.C:
			case <-done:
				fmt.Fprintln(a.stdout)
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

func (a *app) unlink(cmd *cobra.Command, force bool) error {
	ctx := cmd.Context()
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	cl, err := daemon.Dial(ctx, cfg.StateDir)
	switch {
	case err == nil && force:
		return fmt.Errorf("%w: a host runs on %s; stop it first", host.ErrBusy, cfg.StateDir)
	case err == nil:
		err = cl.UnlinkWhatsApp(ctx)
	default:
		err = whatsapp.Unlink(ctx, daemon.WhatsApp(cfg, a.log), force)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, "Unlinked. Chats, routes and agents' files are kept.")
	return nil
}

func (a *app) listChannels(cmd *cobra.Command) error {
	ctx := cmd.Context()
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	channels, err := a.channels(ctx, cfg)
	for _, c := range channels {
		fmt.Fprintln(a.stdout, c)
	}
	return err
}

// channels are all that there are, each with where it stands.
func (a *app) channels(ctx context.Context, cfg *config.Config) ([]string, error) {
	if cl, err := daemon.Dial(ctx, cfg.StateDir); err == nil {
		s, err := cl.Status(ctx)
		return s.Channels, err
	}
	number, err := whatsapp.Linked(ctx, daemon.WhatsApp(cfg, a.log))
	if err != nil {
		return nil, err
	}
	state := notLinked
	if number != "" {
		state = "linked as " + number + "; no host runs"
	}
	return []string{"console", "whatsapp (" + state + ")"}, nil
}

// notLinked is also what a running host says.
const notLinked = "not linked"

// maxChats is how many chats are listed, the last one active first.
const maxChats = 100

func (a *app) listChats(cmd *cobra.Command) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	chats, err := daemon.Chats(cmd.Context(), cfg, maxChats)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, c := range chats {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Channel, c.Chat, printable(c.Name), c.Last.Format(time.DateTime))
	}
	return w.Flush()
}
