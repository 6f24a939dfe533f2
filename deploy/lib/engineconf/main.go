// Command engineconf edits a Docker engine's configuration (daemon.json) on its
// way from standard input to standard output: setup uses it to add Symbi's
// runtime to a file that may hold an operator's own settings, and to take it
// out again. Every setting it was not told of is kept. A fresh machine has Go
// and no other program that understands JSON.
//
//	engineconf [-default KEY=JSON] add RUNTIME JSON   adds or replaces a runtime
//	engineconf drop RUNTIME [KEY...]                  takes it and settings out
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// settings is an engine's configuration, or a part of it, whose values are
// left as they were written.
type settings map[string]json.RawMessage

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "engineconf:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("engineconf", flag.ContinueOnError)
	preset := flags.String("default", "", "`KEY=JSON` to set unless the file says otherwise")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := read(in)
	if err != nil {
		return fmt.Errorf("reading the engine's configuration, which must be a JSON object: %w", err)
	}
	switch args = flags.Args(); {
	case len(args) == 3 && args[0] == "add":
		err = add(config, args[1], args[2])
	case len(args) >= 2 && args[0] == "drop":
		err = drop(config, args[1], args[2:])
	default:
		err = errors.New("want: add RUNTIME JSON, or drop RUNTIME [KEY...]")
	}
	if err != nil {
		return err
	}
	if key, value, ok := strings.Cut(*preset, "="); ok && config[key] == nil {
		config[key] = json.RawMessage(value)
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the engine's configuration: %w", err)
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
}

// read takes an absent (empty) file for one without settings.
func read(in io.Reader) (settings, error) {
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	config := settings{}
	if len(strings.TrimSpace(string(text))) == 0 {
		return config, nil
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	if config == nil {
		return nil, errors.New("it is null")
	}
	return config, nil
}

func add(config settings, runtime, entry string) error {
	if !json.Valid([]byte(entry)) {
		return fmt.Errorf("the entry for runtime %s is not JSON: %s", runtime, entry)
	}
	runtimes, err := runtimesOf(config)
	if err != nil {
		return err
	}
	runtimes[runtime] = json.RawMessage(entry)
	return setRuntimes(config, runtimes)
}

func drop(config settings, runtime string, keys []string) error {
	for _, key := range keys {
		delete(config, key)
	}
	runtimes, err := runtimesOf(config)
	if err != nil {
		return err
	}
	delete(runtimes, runtime)
	return setRuntimes(config, runtimes)
}

func runtimesOf(config settings) (settings, error) {
	runtimes := settings{}
	if text, ok := config["runtimes"]; ok {
		if err := json.Unmarshal(text, &runtimes); err != nil || runtimes == nil {
			return nil, fmt.Errorf("reading the engine's runtimes, which must be a JSON object: %s", text)
		}
	}
	return runtimes, nil
}

func setRuntimes(config, runtimes settings) error {
	if len(runtimes) == 0 {
		delete(config, "runtimes")
		return nil
	}
	text, err := json.Marshal(runtimes)
	if err != nil {
		return fmt.Errorf("writing the engine's runtimes: %w", err)
	}
	config["runtimes"] = text
	return nil
}
