//go:build !nowhatsapp && !fakewa

package whatsapp

import "net/http"

// hook is where a test binary puts its own server: see hook_fakewa.go. Here it does nothing.
func hook(*http.Transport) error { return nil }
