package main

import (
	"strings"
	"testing"
)

const (
	entry = `{"path":"/opt/runsc"}`
	ours  = `{
  "live-restore": true,
  "runtimes": {
    "gv": {
      "path": "/opt/runsc"
    }
  }
}
`
)

func TestConfigurationIsEditedAndTheOperatorsSettingsKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   string
		args []string
		want string
	}{
		"no file yet": {
			"", []string{"-default", "live-restore=true", "add", "gv", entry}, ours,
		},
		"added twice": {
			ours, []string{"-default", "live-restore=true", "add", "gv", entry}, ours,
		},
		"an older entry is replaced": {
			`{"runtimes":{"gv":{"path":"/old"}}}`, []string{"-default", "live-restore=true", "add", "gv", entry}, ours,
		},
		"a setting that the operator chose stays": {
			`{"live-restore":false}`, []string{"-default", "live-restore=true", "add", "gv", entry},
			strings.Replace(ours, "true", "false", 1),
		},
		"big numbers and other runtimes stay as written": {
			`{"shutdown-timeout":12345678901234567890,"runtimes":{"kata":{"path":"/k"},"gv":{}}}`,
			[]string{"drop", "gv"},
			"{\n  \"runtimes\": {\n    \"kata\": {\n      \"path\": \"/k\"\n    }\n  },\n  \"shutdown-timeout\": 12345678901234567890\n}\n",
		},
		"dropping what was added leaves nothing":     {ours, []string{"drop", "gv", "live-restore"}, "{}\n"},
		"dropping where nothing was changes nothing": {"{}", []string{"drop", "gv"}, "{}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			if err := run(c.args, strings.NewReader(c.in), &out); err != nil {
				t.Fatal(err)
			}
			if out.String() != c.want {
				t.Errorf("got\n%s\nwant\n%s", out.String(), c.want)
			}
		})
	}
}

func TestWhatIsNotAConfigurationIsRefusedAndNothingWritten(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"{", "[]", "null", `{"runtimes": 3}`, `{"runtimes": null}`} {
		var out strings.Builder
		err := run([]string{"add", "gv", entry}, strings.NewReader(in), &out)
		if err == nil || out.Len() > 0 {
			t.Errorf("%s: error %v, output %q", in, err, out.String())
		}
	}
	if err := run([]string{"add", "gv", "{"}, strings.NewReader("{}"), &strings.Builder{}); err == nil {
		t.Error("an entry that is not JSON was accepted")
	}
}
