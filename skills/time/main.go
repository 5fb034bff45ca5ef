// Skill time tells the time: one tool, no capability.
package main

import (
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/zone"
)

type input struct {
	Place string `json:"place"`
}

type output struct {
	Time    string `json:"time"` // RFC 3339
	Weekday string `json:"weekday"`
	Zone    string `json:"zone"`   // IANA name, or UTC+hh:mm
	Offset  string `json:"offset"` // UTC+hh:mm
	Place   string `json:"place,omitempty"`

	text string
}

// Text is the sentence for people.
func (o output) Text() string { return o.text }

func init() {
	sdk.Tool("time", func(c sdk.Context, in input) (output, error) { return tell(time.Now(), in.Place, c.Timezone) })
}

func main() {}

// tell says what now is in place, or in the user's own zone when there is no place.
func tell(now time.Time, place, own string) (output, error) {
	asked := strings.TrimSpace(place)
	in, err := zone.Of(asked)
	if asked == "" {
		if in = zone.Named(own); in == nil {
			in = time.UTC // the host gave no zone that is known
		}
	} else if err != nil {
		return output{}, err
	}
	t := now.In(in)
	_, seconds := t.Zone()
	o := output{
		Time: t.Format(time.RFC3339), Weekday: t.Weekday().String(), Zone: in.String(),
		Offset: zone.OffsetName(seconds), Place: strings.TrimRight(asked, " ?!."),
	}
	o.text = "It is " + t.Format("15:04 on Monday, 2 January 2006")
	if o.Place != "" {
		o.text += " in " + o.Place
	}
	o.text += " (" + o.Zone
	if o.Zone != o.Offset {
		o.text += ", " + o.Offset
	}
	o.text += ")."
	return o, nil
}
