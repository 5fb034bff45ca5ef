//go:build !nowhatsapp

package whatsapp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/nanoclaw/nanoclaw/host"
)

const (
	rounds    = 3                 // of codes, of about three minutes each
	codeGood  = 160 * time.Second // as long as the connection that asked for it is kept open
	codeTried = 8 * time.Second   // from a code's being typed to the device's being linked: a phone needs one or two
	connectIn = time.Minute
)

var errExpired = errors.New("expired")

// Pair links a phone: by a QR code that it scans, or, when its number is given, by a code of eight
// characters that is typed there. show is called with each code in turn. The answer is the number.
func Pair(ctx context.Context, cfg Config, phone string, show func(Step)) (number string, err error) {
	if phone != "" {
		if _, ok := cutNumber(phone); !ok {
			return "", fmt.Errorf(`%w: %q: write the phone's number as "+", country code and digits`, host.ErrInvalid, phone)
		}
	}
	k, err := openKeys(ctx, cfg.Path, cfg.Log)
	if err != nil {
		return "", err
	}
	defer k.close()
	if k.device.ID != nil {
		return "", fmt.Errorf("%w: this installation is linked to +%s already; to link another phone, first: "+
			"nanoclaw channel rm whatsapp", host.ErrInvalid, k.device.ID.User)
	}
	note := ""
	for range rounds {
		note, err = pairOnce(ctx, k, cfg, phone, note, show)
		if !errors.Is(err, errExpired) {
			break
		}
	}
	switch {
	case err == nil:
		return "+" + k.device.ID.User, nil
	case errors.Is(err, errExpired):
		return "", fmt.Errorf("%w: no phone used one of the codes in time; run this again when the phone is at hand",
			host.ErrTimeout)
	}
	return "", err
}

// pairOnce is one connection. last is what became of its last code.
func pairOnce(ctx context.Context, k *keys, cfg Config, phone, note string, show func(Step)) (last string, err error) {
	typed := make(chan time.Duration, 8)
	cli, err := k.client(cfg, func(n *waBinary.Node) { codeTyped(n, typed) })
	if err != nil {
		return "", err
	}
	cli.InitialAutoReconnect = false
	up, down := watch(cli) // before the channel of codes, whose items say less
	codes, err := cli.GetQRChannel(ctx)
	if err != nil {
		return "", fmt.Errorf("whatsapp: %w", err)
	}
	hangUp, err := connect(ctx, cli)
	defer hangUp()
	if err != nil {
		return "", unreachable(err)
	}
	var wrong <-chan time.Time
	var ends time.Time // of the connection, once a code was asked for
	for {
		item := whatsmeow.QRChannelItem{Event: whatsmeow.QRChannelEventCode}
		more := true
		select {
		case item, more = <-codes:
		case wait := <-typed:
			wrong = time.After(wait)
			continue
		case <-wrong:
			wrong, note = nil, "The code that was typed is not the one that stood here. This is the next one:"
		}
		step := Step{QR: item.Code, Until: time.Now().Add(item.Timeout), Note: note}
		switch {
		case !more && ctx.Err() != nil:
			return "", fmt.Errorf("%w: no phone was linked", host.ErrStopped)
		case !more:
			return note, errExpired
		case item.Event == whatsmeow.QRChannelEventCode && phone != "":
			if item.Code != "" && !ends.IsZero() {
				continue // the code goes on being good while QR codes change
			}
			if ends.IsZero() {
				ends = time.Now().Add(codeGood)
			}
			if step, err = codeStep(ctx, cli, phone, note, ends); err != nil {
				return "", err
			}
			show(step)
			note = "The last code was not typed in time. This is the next one:"
		case item.Event == whatsmeow.QRChannelEventCode:
			show(step)
			note = "The last code is no longer good. This is the next one:"
		case item.Event == whatsmeow.QRChannelSuccess.Event:
			return "", settled(ctx, up, down)
		default:
			if err := refusal(item, down); err != nil {
				return note, err
			}
		}
	}
}

// codeTyped looks for the word from WhatsApp that a code was typed on the phone, and says after how long
// it was the wrong one if nothing more is heard.
func codeTyped(n *waBinary.Node, typed chan<- time.Duration) {
	reg, ok := n.GetOptionalChildByTag("link_code_companion_reg")
	if n.Tag != "notification" || !ok {
		return
	}
	wait := time.Duration(0) // the phone wants another one
	if reg.Attrs["stage"] == "primary_hello" {
		wait = codeTried
	}
	select {
	case typed <- wait:
	default:
	}
}

func unreachable(err error) error {
	return fmt.Errorf(
		"%w: WhatsApp cannot be reached (web.whatsapp.com; see [network] proxy): %w",
		host.ErrUnavailable,
		err,
	)
}

func codeStep(ctx context.Context, cli *whatsmeow.Client, phone, note string, until time.Time) (Step, error) {
	code, err := cli.PairPhone(ctx, phone, true, whatsmeow.PairClientChrome, "Chrome (Linux)")
	if err != nil {
		return Step{}, fmt.Errorf("%w: WhatsApp gives no code for %s: is it a number with WhatsApp on its phone? (%w)",
			host.ErrInvalid, phone, err)
	}
	return Step{Code: code, Until: until, Note: note}, nil
}

// watch says when cli is logged in, and what ends it. Messages are left for the host.
func watch(cli *whatsmeow.Client) (up <-chan struct{}, down <-chan events.PermanentDisconnect) {
	u, d := make(chan struct{}, 1), make(chan events.PermanentDisconnect, 1)
	cli.AddEventHandlerWithSuccessStatus(func(evt any) bool {
		switch e := evt.(type) {
		case *events.Message:
			return false
		case *events.Connected:
			select {
			case u <- struct{}{}:
			default:
			}
		case events.PermanentDisconnect:
			select {
			case d <- e:
			default:
			}
		}
		return true
	})
	return u, d
}

// settled waits until a client is logged in.
func settled(ctx context.Context, up <-chan struct{}, down <-chan events.PermanentDisconnect) error {
	ctx, cancel := context.WithTimeout(ctx, connectIn)
	defer cancel()
	select {
	case <-up:
		return nil
	case e := <-down:
		return fmt.Errorf("%w: %s", host.ErrDenied, permanent(e, time.Now()).text)
	case <-ctx.Done():
		return fmt.Errorf("%w: WhatsApp does not log this device in; try again, and see the phone's list of linked devices",
			host.ErrTimeout)
	}
}

// refusal is what to say of an item that is neither a code nor success; nil = go on.
func refusal(item whatsmeow.QRChannelItem, down <-chan events.PermanentDisconnect) error {
	switch item.Event {
	case whatsmeow.QRChannelTimeout.Event:
		return errExpired
	case whatsmeow.QRChannelScannedWithoutMultidevice.Event:
		return nil // the same code is good when the phone was updated
	case whatsmeow.QRChannelClientOutdated.Event:
		return fmt.Errorf("%w: %s", host.ErrDenied, permanent(&events.ClientOutdated{}, time.Now()).text)
	case whatsmeow.QRChannelEventPasskeyRequest, whatsmeow.QRChannelEventPasskeyResponse:
		return fmt.Errorf(
			"%w: the phone asks for a passkey, which only a browser can show; on the phone, remove the passkey "+
				"(Settings, Account, Passkeys) for the time of linking, or link by code: --phone",
			host.ErrDenied,
		)
	}
	if errors.Is(item.Error, whatsmeow.ErrPairInvalidDeviceIdentityHMAC) {
		return fmt.Errorf("%w: the code on the phone was not the one shown here; run this again", host.ErrDenied)
	}
	select {
	case e := <-down:
		return fmt.Errorf("%w: %s", host.ErrDenied, permanent(e, time.Now()).text)
	default:
		return fmt.Errorf("%w: the phone could not be linked: %s %w", host.ErrDenied, item.Event, item.Error)
	}
}

// Linked is the number of the linked phone; "" = none.
func Linked(ctx context.Context, cfg Config) (number string, err error) {
	if !exists(cfg.Path) {
		return "", nil
	}
	k, err := openKeys(ctx, cfg.Path, cfg.Log)
	if err != nil {
		return "", err
	}
	defer k.close()
	if k.device.ID == nil {
		return "", nil
	}
	return "+" + k.device.ID.User, nil
}

// Unlink takes this device off the phone's list, which needs WhatsApp, and deletes its keys. force
// deletes them without. No host may run.
func Unlink(ctx context.Context, cfg Config, force bool) error {
	number, err := Linked(ctx, cfg)
	if err != nil {
		return err
	}
	if number == "" {
		return fmt.Errorf("%w: no phone is linked", host.ErrNotFound)
	}
	k, err := openKeys(ctx, cfg.Path, cfg.Log)
	if err != nil {
		return err
	}
	defer k.close()
	if force {
		return k.device.Delete(ctx)
	}
	cli, err := k.client(cfg, nil)
	if err != nil {
		return err
	}
	cli.InitialAutoReconnect = false
	up, down := watch(cli)
	hangUp, err := connect(ctx, cli)
	defer hangUp()
	if err != nil {
		return unreachable(err)
	}
	if err := settled(ctx, up, down); err != nil {
		return err
	}
	return cli.Logout(ctx)
}
