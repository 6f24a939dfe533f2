// Neither directive costs a feature: init says itself how many processors it
// uses, and the runtime would read the cgroup's files at start and ever after.

//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command symbi-init is process 1 of every sandbox. It fetches its task over
// the gateway's socket, makes sure of the kernel, starts the program with the
// program's own limits, keeps its output in bounded log files, reaps and
// forwards signals, and leaves a record of how the program ended. When the
// gateway has been silent for too long it ends the program: the task may by
// then run elsewhere.
//
// Under the name symbi-agent the same binary is what programs call to reach
// the gateway from a shell.
//
// It promises that nothing survives it, and that whatever a program does with
// its pipes, signals, processes or files can end the program but not the
// record of it. A program in gVisor can kill process 1 all the same; then
// there is no record, and the node knows the sandbox for dead.
package main

import (
	"fmt"
	"os"
	"path"
	"runtime"
)

// maxProcs bounds init's share of the processors, and so its threads.
const maxProcs = 2

func main() {
	if path.Base(os.Args[0]) == "symbi-agent" {
		os.Exit(agentMain(os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
	}
	if os.Getpid() != 1 {
		// Elsewhere its kill(-1) would end what is not its own.
		fmt.Fprintln(os.Stderr, "symbi-init is process 1 of a sandbox and runs as nothing else; programs call symbi-agent")
		os.Exit(2)
	}
	runtime.GOMAXPROCS(maxProcs)
	os.Exit(initMain())
}
