package host

import "os"

// InSandbox reports whether a Docker Sandbox microVM is around this process, by what it sets there.
// That adds a layer and takes none away, so whoever sets these variables by himself fools himself only.
func InSandbox() bool {
	return os.Getenv("SANDBOX_NAME")+os.Getenv("SANDBOX_ID")+os.Getenv("SANDBOX_VM_ID") != ""
}
