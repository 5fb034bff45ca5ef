//go:build !wasip1

package wire

import "encoding/json"

// RawMessage is JSON kept as it is. Outside guests it is encoding/json's own type;
// see raw_guest.go for why guests have another.
type RawMessage = json.RawMessage
