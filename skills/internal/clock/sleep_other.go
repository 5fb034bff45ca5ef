//go:build !wasip1

package clock

import "time"

// Sleep waits for so many milliseconds.
func Sleep(ms int) { time.Sleep(time.Duration(ms) * time.Millisecond) }
