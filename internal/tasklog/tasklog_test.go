package tasklog

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestReaderGivesRecordsWithOffsets(t *testing.T) {
	t.Parallel()
	stream := []byte("1000000 o hello\n2000000 E half\xff\n")
	first := int64(len(stream))
	stream = AppendGap(stream, 500)
	stream = append(stream, "3000000 e \n4000000 o unfini"...)
	r := NewReader(bytes.NewReader(stream), 0)

	want := []Record{
		{At: time.UnixMicro(1_000_000).UTC(), Text: []byte("hello"), Next: 16},
		{At: time.UnixMicro(2_000_000).UTC(), Text: []byte("half\xff"), Stderr: true, Partial: true, Next: first},
		{Gap: 500, Next: first + 500},
		{At: time.UnixMicro(3_000_000).UTC(), Stderr: true, Next: first + 500 + 11},
	}
	for i, w := range want {
		got, err := r.Read()
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if !got.At.Equal(w.At) && w.Gap == 0 || !bytes.Equal(got.Text, w.Text) || got.Stderr != w.Stderr ||
			got.Partial != w.Partial || got.Gap != w.Gap || got.Next != w.Next {
			t.Errorf("record %d: got %+v, want %+v", i, got, w)
		}
	}
	if _, err := r.Read(); !errors.Is(err, io.EOF) {
		t.Errorf("an unfinished line: got %v, want EOF", err)
	}
	if r.Offset() != want[3].Next {
		t.Errorf("offset after the end: got %d, want %d", r.Offset(), want[3].Next)
	}
}

func TestReaderRefusesWhatIsNoRecord(t *testing.T) {
	t.Parallel()
	for name, stream := range map[string]string{
		"no time":       "hello\n",
		"no stream":     "1000000 hello\n",
		"other stream":  "1000000 x hello\n",
		"negative gap":  "0 g -5\n",
		"endless line":  strings.Repeat("x", maxRecord+1),
		"time is words": "soon o hello\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if rec, err := NewReader(strings.NewReader(stream), 0).Read(); err == nil {
				t.Errorf("got %+v, want an error", rec)
			}
		})
	}
}
