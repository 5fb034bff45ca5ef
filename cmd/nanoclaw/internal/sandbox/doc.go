// Package sandbox runs NanoClaw in a Docker Sandbox: a microVM around everything, host process and
// Docker daemon included, of which one folder of this machine, the workspace, is all that it shares.
//
// In reading order: policy.go derives what may be reached from the roles' grants; cli.go has the command
// lines of sbx and of docker sandbox, and reads their answers; box.go creates, changes and removes;
// files.go puts programs and skills into the workspace.
//
// It owns the sandbox, its network policy and nothing inside. It must never write through a link in
// the workspace, nor take a word from there into a command line but the hosts of checked grants: whoever
// breaks out of a container in the sandbox can write everything there, nanoclaw.toml included. That is
// why a policy that becomes wider is shown and asked for.
//
// Rationale. The host is started as the foreground command of an exec whose client is kept by this
// machine, in a session of its own: a sandbox that has no session stops, and `sbx exec -d` does not return
// (https://docs.docker.com/ai/sandboxes/cli/manage/local/, https://github.com/docker/sbx-releases/issues/505).
// Programs are copied into the workspace, not with `sbx cp`: docker sandbox has no such verb, and the
// sandbox's Docker daemon mounts nothing else. sbx says which rules are in force; docker sandbox does
// not, so what it was given is kept in a file beside this machine's own state.
//
// Neither program could be run where this was written. The command lines are those of the documentation
// that cli.go names, and are held against a stand-in that knows its grammar (testdata/standin).
package sandbox
