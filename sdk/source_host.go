//go:build !wasip1

package sdk

import "embed"

// Source is this package's own source, so that `nanoclaw skill build` works with
// nothing but the Go toolchain. Guests do not carry it.
//
//go:embed *.go wire/*.go internal
var Source embed.FS
