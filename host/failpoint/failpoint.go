// Package failpoint owns the places where tests let the host be killed. It is linked into every
// program and does nothing there: only with the build tag "failpoints" has Hit an effect, and a
// test shows that not even the names are in a program without it.
//
// It must never do anything but end its own process.
package failpoint

// Names of places. Each says what has just happened, or is about to.
const (
	Migration        = "fp-in-migration"
	FilesStored      = "fp-files-stored" // and the message that they came with is not
	InboundCommitted = "fp-inbound-committed"
	TurnBegun        = "fp-turn-begun"
	BeforeIntent     = "fp-before-intent"
	AfterIntent      = "fp-after-intent"
	BeforeOutcome    = "fp-before-outcome"
	AfterOutcome     = "fp-after-outcome"
	BeforeFinish     = "fp-before-finish"
	AfterFinish      = "fp-after-finish"
	BeforeSending    = "fp-before-sending"
	AfterSending     = "fp-after-sending" // the row says so, and nothing was sent
	BeforeSent       = "fp-before-sent"   // it was sent, and the row does not say so
	AfterSent        = "fp-after-sent"
)

// Names are all of them.
var Names = []string{
	Migration, FilesStored, InboundCommitted, TurnBegun, BeforeIntent, AfterIntent, BeforeOutcome, AfterOutcome,
	BeforeFinish, AfterFinish, BeforeSending, AfterSending, BeforeSent, AfterSent,
}
