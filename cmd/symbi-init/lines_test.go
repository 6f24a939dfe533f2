package main

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"symbi.dev/symbi/internal/sandbox/initproto"
)

var second = time.Unix(1, 0)

func TestLinesBecomeRecords(t *testing.T) {
	t.Parallel()
	most := strings.Repeat("m", initproto.MaxLineBytes)
	for name, c := range map[string]struct {
		fed  []string // an empty one stands for a pause
		want string
	}{
		"whole lines":             {[]string{"a\nb\n"}, "o a|o b|"},
		"a line in two reads":     {[]string{"a", "b\n"}, "o ab|"},
		"an empty line":           {[]string{"\n"}, "o |"},
		"an end without newline":  {[]string{"a"}, "o a|"},
		"a pause":                 {[]string{"a", "", "b\n"}, "O a|o b|"},
		"a pause before the end":  {[]string{"a", ""}, "O a|o |"},
		"a pause between lines":   {[]string{"a\n", "", "b\n"}, "o a|o b|"},
		"a pause, then a newline": {[]string{"a", "", "\n"}, "O a|o |"},
		"the longest line":        {[]string{most + "\n"}, "o " + most + "|"},
		"the longest, in two":     {[]string{most, "\n"}, "o " + most + "|"},
		"a line one too long":     {[]string{most, "x\n"}, "O " + most + "|o x|"},
		"a line of three parts":   {[]string{most + most + "x\n"}, "O " + most + "|O " + most + "|o x|"},
		"bytes of no encoding":    {[]string{"\xff\x00\r\n"}, "o \xff\x00\r|"},
		"nothing":                 {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLines('o', 'O')
			var got bytes.Buffer
			for _, s := range c.fed {
				if s == "" {
					got.Write(l.flush(second))
				} else {
					got.Write(l.feed([]byte(s), second))
				}
			}
			got.Write(l.finish(second))
			if want := strings.NewReplacer("|", "\n").Replace(c.want); strings.ReplaceAll(got.String(), "1000000 ", "") != want {
				t.Errorf("got %q…, want %q…", clip(got.String()), clip(want))
			}
		})
	}
}

// TestLinesSurviveAnyCut feeds random output in random pieces and puts the
// records together again.
func TestLinesSurviveAnyCut(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var want []byte
		for range r.IntN(20) {
			want = append(want, bytes.Repeat([]byte{byte('a' + r.IntN(26))}, r.IntN(3*initproto.MaxLineBytes)/(1+r.IntN(1000)))...)
			want = append(want, '\n')
		}
		l := newLines('e', 'E')
		var stream []byte
		for left := want; len(left) > 0; {
			n := 1 + r.IntN(len(left))
			stream = append(stream, l.feed(left[:n], second)...)
			if left = left[n:]; r.IntN(3) == 0 {
				stream = append(stream, l.flush(second)...)
			}
		}
		stream = append(stream, l.finish(second)...)
		var got []byte
		for rec := range bytes.Lines(stream) {
			text, part := bytes.CutPrefix(rec, []byte("1000000 E "))
			if !part {
				text = bytes.TrimPrefix(rec, []byte("1000000 e "))
			}
			if len(text) > initproto.MaxLineBytes+1 {
				t.Fatalf("a record of %d bytes", len(text))
			}
			got = append(got, bytes.TrimSuffix(text, []byte("\n"))...)
			if !part {
				got = append(got, '\n')
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes came back as %d others", len(want), len(got))
		}
	}
}
