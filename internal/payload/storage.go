package payload

import (
	"context"
	"errors"
	"fmt"
	"time"

	common "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"symbi.dev/symbi/agent"
)

const (
	// InlineBytes is the largest payload, sealed, that a history holds itself
	// (DESIGN §4).
	InlineBytes = 16 << 10
	// storedBytes bounds what is read back from the blob store.
	storedBytes = 64 << 20
	// driverName and claimDigest stand in histories.
	driverName  = "symbi-blob"
	claimDigest = "digest"
)

// pauses are between tries when the blob store does not answer. An activity
// whose result cannot be stored has failed, so it is worth some patience.
var pauses = []time.Duration{100 * time.Millisecond, 400 * time.Millisecond, 1600 * time.Millisecond}

// Storage keeps payloads larger than InlineBytes in the blob store, for client
// and replayer options. The SDK moves them outside of workflow code, where a
// slow store blocks nothing and a failing one is tried again.
func (c *Codec) Storage() converter.ExternalStorage {
	return converter.ExternalStorage{
		Drivers:              []converter.StorageDriver{driver{c.blobs}},
		PayloadSizeThreshold: InlineBytes + 1,
	}
}

// driver keeps sealed payloads as blobs; a claim is a digest.
type driver struct{ blobs Blobs }

// Name is the driver's name in histories.
func (driver) Name() string { return driverName }

// Type is the same: there is one kind.
func (driver) Type() string { return driverName }

// Store puts payloads into the blob store.
func (d driver) Store(ctx converter.StorageDriverStoreContext, payloads []*common.Payload) ([]converter.StorageDriverClaim, error) {
	claims := make([]converter.StorageDriverClaim, len(payloads))
	for i, p := range payloads {
		text, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("keep a large payload: %w", err)
		}
		if len(text) > storedBytes {
			return nil, agent.Errorf(agent.ErrInvalid, "a payload of %d bytes is more than the %d MiB that one may have", len(text), storedBytes>>20)
		}
		err = ctx.GetLimiter().Permit(ctx.Context, p, func() error {
			return patiently(ctx.Context, func() error {
				digest, err := d.blobs.PutBytes(ctx.Context, text)
				claims[i].ClaimData = map[string]string{claimDigest: string(digest)}
				return err
			})
		})
		if err != nil {
			return nil, fmt.Errorf("keep a large payload: %w", err)
		}
	}
	return claims, nil
}

// Retrieve gets payloads from the blob store. A claim may come from anyone who
// can reach the codec's endpoint, so only what is sealed is given out.
func (d driver) Retrieve(ctx converter.StorageDriverRetrieveContext, claims []converter.StorageDriverClaim) ([]*common.Payload, error) {
	payloads := make([]*common.Payload, len(claims))
	for i, claim := range claims {
		var text []byte
		err := ctx.GetLimiter().Permit(ctx.Context, claim, func() error {
			return patiently(ctx.Context, func() error {
				var err error
				text, err = d.blobs.GetBytes(ctx.Context, agent.Digest(claim.ClaimData[claimDigest]), storedBytes)
				return err
			})
		})
		if err != nil {
			return nil, fmt.Errorf("fetch a large payload: %w", err)
		}
		payloads[i] = new(common.Payload)
		if err := proto.Unmarshal(text, payloads[i]); err != nil || !isSealed(payloads[i]) {
			return nil, agent.Errorf(agent.ErrInvalid, "blob %s is no payload", claim.ClaimData[claimDigest])
		}
	}
	return payloads, nil
}

// patiently tries again while the store does not answer.
func patiently(ctx context.Context, do func() error) error {
	for _, pause := range pauses {
		err := do()
		if !errors.Is(err, agent.ErrUnavailable) {
			return err
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return err
		}
	}
	return do()
}
