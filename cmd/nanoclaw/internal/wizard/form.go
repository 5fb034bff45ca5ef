package wizard

import (
	"context"
	"errors"
	"fmt"
	"os"

	"charm.land/huh/v2"
)

// Form asks on a terminal. On one that cannot draw (TERM=dumb), and where ACCESSIBLE is set, for
// screen readers, questions are plain lines.
func Form(in, out *os.File) func(context.Context, Question) (string, error) {
	plainly := os.Getenv("ACCESSIBLE") != "" || os.Getenv("TERM") == "dumb"
	return func(ctx context.Context, q Question) (string, error) {
		answer := q.Default
		var field huh.Field
		if q.Options != nil {
			var options []huh.Option[string]
			for _, o := range q.Options {
				options = append(options, huh.NewOption(o.Label, o.Value))
			}
			field = huh.NewSelect[string]().Title(q.Title).Description(q.Help).Options(options...).Value(&answer)
		} else {
			input := huh.NewInput().Title(q.Title).Description(q.Help).Value(&answer)
			if q.Hidden {
				input.EchoMode(huh.EchoModeNone)
			}
			if q.Check != nil {
				input.Validate(q.Check)
			}
			field = input
		}
		err := huh.NewForm(huh.NewGroup(field)).WithInput(in).WithOutput(out).WithAccessible(plainly).RunWithContext(ctx)
		if errors.Is(err, huh.ErrUserAborted) {
			err = errStopped
		}
		if err == nil && !plainly && !q.Hidden { // a form wipes itself
			fmt.Fprintf(out, "%s %s\n", q.Title, answer)
		}
		return answer, err
	}
}
