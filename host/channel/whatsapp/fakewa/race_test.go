//go:build race

package fakewa

// raced: the race detector watches, the library too.
const raced = true
