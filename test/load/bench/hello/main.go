// Command hello is the least that a program can be: statically linked, it
// prints a line and ends.
package main

import "os"

func main() {
	if _, err := os.Stdout.WriteString("hello\n"); err != nil {
		os.Exit(1)
	}
}
