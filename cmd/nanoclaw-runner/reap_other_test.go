//go:build !linux

package main

import "testing"

func reapOrphan(t *testing.T) { t.Skip("only Linux has subreapers") }
