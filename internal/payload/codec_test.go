package payload_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	common "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/blob"
	"symbi.dev/symbi/internal/payload"
)

func key(fill byte) []byte { return bytes.Repeat([]byte{fill}, 32) }

// blobs is a store in memory.
func blobs(t testing.TB) *blob.Store {
	t.Helper()
	s, err := blob.Open(context.Background(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func codec(t testing.TB, b payload.Blobs, keys ...[]byte) *payload.Codec {
	t.Helper()
	c, err := payload.NewCodec(b, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// report is a value as workflows pass them.
type report struct {
	Title string
	Rows  []int
}

func TestValuesComeBackAndDoNotShowInBetween(t *testing.T) {
	t.Parallel()
	dc := codec(t, blobs(t), key(1)).DataConverter()
	want := report{Title: "wildlife strikes", Rows: []int{1, 2, 3}}
	sealed, err := dc.ToPayloads(want, "wildlife", nil, []byte("strikes"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range sealed.Payloads {
		text := p.String() + string(p.Data)
		for _, word := range []string{"wildlife", "strikes", "Title", "json/plain"} {
			if strings.Contains(text, word) {
				t.Errorf("%q shows in %q", word, text)
			}
		}
	}
	var got report
	var word string
	var none *report
	var raw []byte
	if err := dc.FromPayloads(sealed, &got, &word, &none, &raw); err != nil {
		t.Fatal(err)
	}
	if got.Title != want.Title || len(got.Rows) != 3 || word != "wildlife" || none != nil || string(raw) != "strikes" {
		t.Errorf("came back as %+v, %q, %v, %q", got, word, none, raw)
	}
}

func TestTheSameValueIsSealedDifferentlyEachTime(t *testing.T) {
	t.Parallel()
	dc := codec(t, blobs(t), key(1)).DataConverter()
	seen := map[string]bool{}
	for range 100 {
		p, err := dc.ToPayload("same")
		if err != nil || seen[string(p.Data)] {
			t.Fatalf("sealed the same way twice (%v)", err)
		}
		seen[string(p.Data)] = true
	}
}

func TestWhatWasAlteredIsNotOpened(t *testing.T) {
	t.Parallel()
	c := codec(t, blobs(t), key(1), key(2))
	other := codec(t, blobs(t), key(2))
	for name, alter := range map[string]func(p *common.Payload){
		"a bit of the nonce":   func(p *common.Payload) { p.Data[0] ^= 1 },
		"a bit of the content": func(p *common.Payload) { p.Data[len(p.Data)-20] ^= 1 },
		"a bit of the tag":     func(p *common.Payload) { p.Data[len(p.Data)-1] ^= 1 },
		"its end":              func(p *common.Payload) { p.Data = p.Data[:len(p.Data)-1] },
		"all but the nonce":    func(p *common.Payload) { p.Data = p.Data[:24] },
		"more than that":       func(p *common.Payload) { p.Data = p.Data[:10] },
		"all of it":            func(p *common.Payload) { p.Data = nil },
		"the key it names": func(p *common.Payload) {
			q, err := other.DataConverter().ToPayload("x")
			if err != nil {
				t.Fatal(err)
			}
			p.Metadata = q.Metadata
		},
	} {
		p, err := c.DataConverter().ToPayload(strings.Repeat("content", 10))
		if err != nil {
			t.Fatal(err)
		}
		alter(p)
		var got string
		if err := c.DataConverter().FromPayload(p, &got); err == nil {
			t.Errorf("%s was altered and it opens as %q", name, got)
		}
	}
}

func TestAKeyCanBeReplacedWhileHistoriesUnderTheOldOneLive(t *testing.T) {
	t.Parallel()
	before := codec(t, blobs(t), key(1))
	old, err := before.DataConverter().ToPayload("old")
	if err != nil {
		t.Fatal(err)
	}
	after := codec(t, blobs(t), key(2), key(1))
	var got string
	if err := after.DataConverter().FromPayload(old, &got); err != nil || got != "old" {
		t.Errorf("what was sealed before opens as %q (%v)", got, err)
	}
	young, err := after.DataConverter().ToPayload("young")
	if err != nil {
		t.Fatal(err)
	}
	err = before.DataConverter().FromPayload(young, &got)
	id := string(young.Metadata["symbi-key"])
	if err == nil || len(id) != 16 || !strings.Contains(err.Error(), id) {
		t.Errorf("with the old key alone, what is sealed since opens (%v); it names key %q", err, id)
	}
	if id == string(old.Metadata["symbi-key"]) {
		t.Error("the keys have one ID")
	}
}

func TestWhatWasSentUnsealedPasses(t *testing.T) {
	t.Parallel()
	dc := codec(t, blobs(t), key(1)).DataConverter()
	byHand := &common.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"please"`)}
	var got string
	if err := dc.FromPayload(byHand, &got); err != nil || got != "please" {
		t.Errorf("got %q, %v", got, err)
	}
	empty := &common.Payload{}
	if out, err := codec(t, blobs(t), key(1)).Decode([]*common.Payload{empty}); err != nil || out[0] != empty {
		t.Errorf("got %v, %v", out, err)
	}
}

func TestKeysThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][][]byte{
		"none": nil, "an empty one": {nil}, "a short one": {key(1)[:16]}, "a long one": {append(key(1), 1)}, "a short old one": {key(1), key(2)[:31]},
	} {
		if _, err := payload.NewCodec(blobs(t), keys...); !errors.Is(err, agent.ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestFailuresDoNotShowTheirMessages(t *testing.T) {
	t.Parallel()
	c := codec(t, blobs(t), key(1))
	fc := c.FailureConverter()
	inner := temporal.NewApplicationError("the password is wildlife", "bad", report{Title: "wildlife"})
	failure := fc.ErrorToFailure(fmt.Errorf("while striking wildlife: %w", inner))
	if text := failure.String(); strings.Contains(text, "wildlife") || strings.Contains(text, "codec_test.go") {
		t.Errorf("the failure shows %s", text)
	}
	back := fc.FailureToError(failure)
	if !strings.Contains(back.Error(), "while striking wildlife") {
		t.Errorf("it came back as %v", back)
	}
	var app *temporal.ApplicationError
	if !errors.As(errors.Unwrap(back), &app) || app.Type() != "bad" {
		t.Fatalf("its cause came back as %v", errors.Unwrap(back))
	}
	var details report
	if err := app.Details(&details); err != nil || details.Title != "wildlife" {
		t.Errorf("its details came back as %+v (%v)", details, err)
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	t.Parallel()
	c := codec(t, blobs(t), key('k'))
	for _, verb := range []string{"%v", "%+v", "%#v", "%x"} {
		if text := fmt.Sprintf(verb, c); !strings.HasPrefix(text, "[payload codec") || strings.Contains(text, "kkkk") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

func BenchmarkSealAndOpen(b *testing.B) {
	for name, size := range map[string]int{"256B": 256, "16KiB": 16 << 10, "100KiB": 100 << 10} {
		b.Run(name, func(b *testing.B) {
			c := codec(b, blobs(b), key(1))
			in := []*common.Payload{{
				Metadata: map[string][]byte{converter.MetadataEncoding: []byte(converter.MetadataEncodingJSON)}, Data: make([]byte, size),
			}}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				sealed, err := c.Encode(in)
				if err == nil {
					_, err = c.Decode(sealed)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
