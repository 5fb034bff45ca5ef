// Package schedule says when tasks are due and starts them then. It owns the text of a
// schedule ("0 9 * * 1-5", "every 15m", "2026-12-01 09:00"), the next time, what happens to a
// time that was missed, and the rules for making and changing tasks.
//
// Read in this order: when.go (a text, and the next time), cron.go (its five fields), book.go
// (tasks are made and changed), scheduler.go (what is due becomes a turn), gate.go (or not).
//
// It must never run a skill, call a model or open a file: a turn and a gate are functions it is
// given, and the rows are the store's. What it starts stands in a row before.
//
// # Rationale
//
// Clocks that jump. Wall-clock time is what people name, so there is one rule for all of it: a
// time is due at the first instant at which the zone's clock shows it or is past it. So 02:30
// on the night it is skipped is 03:00, the first valid instant (some parsers say 03:30, some
// skip the day); 01:30 on the night it comes twice is the first of the two; and a day that a
// zone left out (Apia, 30 December 2011) is the midnight after it. The rule holds for
// "30 * * * *" too, which pauses in the hour that repeats: "every 1h" is what counts real time.
//
// A parser of its own: robfig/cron leaves out the day of a gap, runs a repeated hour twice and
// does not know weekday 7; with its search replaced, 60 lines of parser would have been left of it.
//
// A zone's next change is asked of time.Time.ZoneBounds, so nothing walks minute by minute, but
// the tests, which do just that and compare.
//
// One way to start. Whatever begins a run (its time, the owner, a skill) only writes a row, in
// the transaction that moves the task on; the loop starts rows. A host that is killed at any
// point finds either the task still due or the row still open, never both.
//
// Where it differs from the original (behaviour.md sections 4 and 9), and why:
//
//   - A zone that is none is refused, in nanoclaw.toml and for a task. The original takes UTC, and the
//     reminder comes hours off.
//   - Names of zones are written as the database has them: "america/new_york" is found on some
//     machines only.
//   - A wall-clock time near a change of the clock is exact; the original's may be an hour off.
//   - Naive times are those of the task's zone, never of the host's process; an offset is taken too.
//   - A model is shown when a message came as RFC 3339 in UTC, and the zone once; the original formats
//     each time in English.
//   - 4 and 6 fields are errors: theirs run every second.
//   - A run whose gate says no is gated, in a word of its own; the original calls it a success.
package schedule
