package schedule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// maxData is how much a gate may tell the turn, in bytes.
const maxData = 64 << 10

const notFromUser = "[SCHEDULED TASK - The following message was sent automatically and is not coming directly from " +
	"the user or group.]\n\n"

// verdict reads what a gate said: whether to wake the model, and with what.
func verdict(o wire.ToolOutcome) (wake bool, data json.RawMessage, err error) {
	if o.Outcome != wire.OutcomeOK {
		return false, nil, fmt.Errorf("%w: it ended with %s: %s", host.ErrCrashed, o.Outcome, or(o.Message, o.Result.Text()))
	}
	text := strings.TrimSpace(o.Result.Text())
	line := []byte(text[strings.LastIndexByte(text, '\n')+1:])
	if len(o.Result.StructuredContent) > 0 {
		line = o.Result.StructuredContent
	}
	var said struct {
		Wake      *bool           `json:"wake"`
		WakeAgent *bool           `json:"wakeAgent"` // as the original's scripts say it
		Data      json.RawMessage `json:"data"`
	}
	err = json.Unmarshal(line, &said)
	if said.Wake == nil {
		said.Wake = said.WakeAgent
	}
	switch {
	case err != nil || said.Wake == nil:
		return false, nil, errors.New(`it must end with a line of JSON, {"wake": false} or {"wake": true, "data": …}`)
	case len(said.Data) > maxData:
		return false, nil, fmt.Errorf("%w: its data has more than %d bytes", host.ErrLimit, maxData)
	case bytes.Equal(said.Data, []byte("null")):
		said.Data = nil
	}
	return *said.Wake, said.Data, nil
}

// message is what the agent is asked.
func message(prompt string, data json.RawMessage) string {
	if data == nil {
		return notFromUser + prompt
	}
	var pretty bytes.Buffer
	_ = json.Indent(&pretty, data, "", "  ") // it was decoded before
	return "[SCHEDULED TASK]\n\nScript output:\n" + pretty.String() + "\n\nInstructions:\n" + prompt
}
