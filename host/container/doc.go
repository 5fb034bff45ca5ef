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
package container
