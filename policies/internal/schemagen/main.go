// Command schemagen writes policies/schemas from the types in
// policies/facts.go. `go generate ./policies` runs it there.
package main

import (
	"flag"
	"log"
	"os"
	"path/filepath"

	"symbi.dev/symbi/policies/internal/schema"
)

func main() {
	dir := flag.String("dir", "schemas", "folder to write")
	flag.Parse()
	all, err := schema.All()
	if err != nil {
		log.Fatal(err)
	}
	for action, text := range all {
		if err := os.WriteFile(filepath.Join(*dir, string(action)+".json"), text, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
