// Package container runs agents: in Docker containers that are as closed as DESIGN
// section 9 says, or, where there is no Docker, as bare subprocesses of the runner.
//
// It owns the way to the daemon, the agent image, the hardening list and the end of every
// container, and is the only importer of the Docker client. It must never weaken an item
// of the list for a caller, mount what was not asked for, interpret what a container says,
// install anything or start a daemon.
//
// # Choices that may surprise
//
// The wire is the attach connection alone. With StdinOnce the daemon closes a container's
// stdin when that connection ends, so a host that is killed takes its containers with it;
// nothing has to be cleaned up for that. Killed in the milliseconds between create and
// start, it leaves a container that never ran: a name, no process, and Reap's to remove.
//
// A container that ended is gone at once (AutoRemove), and its exit code and OOM flag with
// it. They are read from one event stream for all containers, open only while there are
// any. Events can be lost with the daemon, so nothing waits long for one.
//
// A daemon that hangs cannot kill. Close then looks in /proc for processes whose cgroup
// names the container and kills those: no PID has to be asked for before, and none can be
// taken for another's.
//
// Read-only binds are not recursive: on engines before 25 a file system mounted below a
// read-only bind would stay writable.
//
// The seccomp profile is our own, seccomp.json: Docker's newest (moby/profiles/seccomp 0.3.0)
// without what a container that has no capability never gets, without 32-bit programs, whose
// socketcall cannot be checked, and with sockets of four families alone. Docker's profile comes
// with the engine, and that of 20.10 lets an agent with no network connect through AF_VSOCK to
// whatever runs the machine it is on. gVisor does not read it: its kernel has none of this.
//
// On gVisor the limit on processes counts the sandbox's own: it does not start with fewer than
// about 64, so the configuration asks for 128 there, and a fork bomb ends the container where runc
// refuses a process.
package container
