package audit

// MaxBehind is how many rows may come before an anchor.
const MaxBehind = maxBehind

// RotateAt makes l begin the next file after n bytes.
func (l *Log) RotateAt(n int64) { l.maxFile = n }
