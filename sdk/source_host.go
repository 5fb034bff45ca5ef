//go:build !wasip1

package sdk

import "embed"

// Source is the source of this package and of sdktest, and Others that of the guest APIs in
// other languages, so that `nanoclaw skill build` works with nothing but a toolchain and
// `nanoclaw skill new` can put them beside a skill. Guests do not carry them.
var (
	//go:embed *.go wire/*.go internal sdktest
	Source embed.FS
	//go:embed rust c assemblyscript
	Others embed.FS
)
