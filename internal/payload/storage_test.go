package payload_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	common "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/blob"
	"symbi.dev/symbi/internal/payload"
)

// driver is the one that keeps large payloads.
func driver(c *payload.Codec) converter.StorageDriver { return c.Storage().Drivers[0] }

func sealed(t testing.TB, c *payload.Codec, size int) *common.Payload {
	t.Helper()
	p, err := c.DataConverter().ToPayload(strings.Repeat("x", size))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func store(t testing.TB, c *payload.Codec, payloads ...*common.Payload) ([]converter.StorageDriverClaim, error) {
	t.Helper()
	return driver(c).Store(converter.StorageDriverStoreContext{Context: t.Context()}, payloads)
}

func retrieve(t testing.TB, c *payload.Codec, claims ...converter.StorageDriverClaim) ([]*common.Payload, error) {
	t.Helper()
	return driver(c).Retrieve(converter.StorageDriverRetrieveContext{Context: t.Context()}, claims)
}

func TestLargePayloadsAreKeptSealedUnderTheirDigest(t *testing.T) {
	t.Parallel()
	b := blobs(t)
	c := codec(t, b, key(1))
	one, two := sealed(t, c, 100<<10), sealed(t, c, 200<<10)
	claims, err := store(t, c, one, two)
	if err != nil || len(claims) != 2 {
		t.Fatalf("%d claims, %v", len(claims), err)
	}
	kept, err := b.GetBytes(t.Context(), agent.Digest(claims[0].ClaimData["digest"]), 1<<20)
	if err != nil || strings.Contains(string(kept), "xxxx") {
		t.Errorf("kept as %.80q (%v)", kept, err)
	}
	back, err := retrieve(t, c, claims...)
	if err != nil || !proto.Equal(back[0], one) || !proto.Equal(back[1], two) {
		t.Errorf("came back otherwise (%v)", err)
	}
}

func TestOnlyWhatIsLargerThanAHistoryHoldsIsMovedOut(t *testing.T) {
	t.Parallel()
	s := codec(t, blobs(t), key(1)).Storage()
	if s.PayloadSizeThreshold != 16<<10+1 || len(s.Drivers) != 1 || s.Drivers[0].Name() != "symbi-blob" || s.Drivers[0].Type() != "symbi-blob" {
		t.Errorf("got %+v", s)
	}
}

func TestAClaimGivesOutNothingButPayloads(t *testing.T) {
	t.Parallel()
	b := blobs(t)
	c := codec(t, b, key(1))
	plain, err := proto.Marshal(&common.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"a tenant's input"`)})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"an input": []byte("id,species\n1,Gull\n"), "nothing": {}, "an unsealed payload": plain} {
		d, err := b.PutBytes(t.Context(), content)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := retrieve(t, c, converter.StorageDriverClaim{ClaimData: map[string]string{"digest": string(d)}}); !errors.Is(err, agent.ErrInvalid) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	for name, claim := range map[string]map[string]string{
		"no claim": nil, "no digest": {"digest": "../../etc/passwd"}, "an absent one": {"digest": string(blob.DigestOf([]byte("absent")))},
	} {
		if got, err := retrieve(t, c, converter.StorageDriverClaim{ClaimData: claim}); err == nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// failing fails some times before it does what it should.
type failing struct {
	payload.Blobs
	err  error
	left int
	got  int
}

func (f *failing) PutBytes(ctx context.Context, b []byte) (agent.Digest, error) {
	f.got++
	if f.left--; f.left >= 0 {
		return "", f.err
	}
	return f.Blobs.PutBytes(ctx, b)
}

func (f *failing) GetBytes(ctx context.Context, d agent.Digest, limit int64) ([]byte, error) {
	f.got++
	if f.left--; f.left >= 0 {
		return nil, f.err
	}
	return f.Blobs.GetBytes(ctx, d, limit)
}

func TestAStoreThatDoesNotAnswerIsAskedAgainForAWhile(t *testing.T) {
	t.Parallel()
	away := agent.Errorf(agent.ErrUnavailable, "away")
	for _, c := range []struct {
		err   error
		times int
		tries int
		ok    bool
	}{
		{away, 3, 4, true},
		{away, 4, 4, false},
		{agent.Errorf(agent.ErrExhausted, "full"), 1, 1, false},
		{agent.Errorf(agent.ErrNotFound, "gone"), 1, 1, false},
	} {
		t.Run(fmt.Sprint(c.err, c.times), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				flaky := &failing{Blobs: blobs(t)}
				cc := codec(t, flaky, key(1))
				p := sealed(t, cc, 100<<10)
				flaky.err, flaky.left, flaky.got = c.err, c.times, 0
				claims, err := store(t, cc, p)
				if (err == nil) != c.ok || flaky.got != c.tries || err != nil && !errors.Is(err, agent.KindOf(c.err)) {
					t.Errorf("storing: %v after %d tries", err, flaky.got)
				}
				if err != nil {
					return
				}
				flaky.left, flaky.got = c.times, 0
				if _, err := retrieve(t, cc, claims...); err != nil || flaky.got != c.tries {
					t.Errorf("fetching: %v after %d tries", err, flaky.got)
				}
			})
		})
	}
}

func TestWhoeverLeavesDoesNotWaitForAStoreThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		flaky := &failing{Blobs: blobs(t), err: agent.Errorf(agent.ErrUnavailable, "away"), left: 100}
		c := codec(t, flaky, key(1))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := driver(c).Store(converter.StorageDriverStoreContext{Context: ctx}, []*common.Payload{sealed(t, c, 100<<10)})
		if !errors.Is(err, agent.ErrUnavailable) || time.Since(began) > 50*time.Millisecond {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
	})
}

func TestAPayloadThatCouldNotBeReadBackIsNotKept(t *testing.T) {
	t.Parallel()
	c := codec(t, blobs(t), key(1))
	if _, err := store(t, c, sealed(t, c, 64<<20)); !errors.Is(err, agent.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

// BenchmarkStore reports what a large payload costs beyond its sealing, on a
// disk.
func BenchmarkStore(b *testing.B) {
	s, err := blob.OpenFolder(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	c := codec(b, s, key(1))
	b.SetBytes(100 << 10)
	for b.Loop() {
		claims, err := store(b, c, sealed(b, c, 100<<10))
		if err == nil {
			_, err = retrieve(b, c, claims...)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
