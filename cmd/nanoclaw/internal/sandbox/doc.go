// Package sandbox runs NanoClaw in a Docker Sandbox: it knows the command lines of sbx and of docker
// sandbox, and what the network policy of one must be.
package sandbox
