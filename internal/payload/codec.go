package payload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	common "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"symbi.dev/symbi/agent"
)

// Metadata of sealed payloads. They stand in histories.
const (
	encodingSealed = "binary/symbi-xaes256gcm"
	metaKeyID      = "symbi-key"
)

// Blobs keeps what is too large for a history.
type Blobs interface {
	PutBytes(ctx context.Context, b []byte) (agent.Digest, error)
	GetBytes(ctx context.Context, d agent.Digest, limit int64) ([]byte, error)
}

// Codec seals and opens payloads. It may be used by many at once, and from
// workflows: it does no I/O.
type Codec struct {
	blobs   Blobs
	current string // the ID of the key that seals
	keys    map[string]*sealer
}

// NewCodec seals with the first key and opens with all of them, so that a key
// can be replaced while histories under the old one live. A key has 32 bytes.
func NewCodec(blobs Blobs, keys ...[]byte) (*Codec, error) {
	if len(keys) == 0 {
		return nil, agent.Errorf(agent.ErrInvalid, "a payload codec needs a key")
	}
	c := &Codec{blobs: blobs, current: keyID(keys[0]), keys: map[string]*sealer{}}
	for _, key := range keys {
		s, err := newSealer(key)
		if err != nil {
			return nil, agent.Errorf(agent.ErrInvalid, "make a payload codec: %w", err)
		}
		c.keys[keyID(key)] = s
	}
	return c, nil
}

// keyID names a key without telling it.
func keyID(key []byte) string {
	sum := sha256.Sum256(append([]byte("symbi key id "), key...))
	return hex.EncodeToString(sum[:8])
}

// Encode seals payloads.
func (c *Codec) Encode(in []*common.Payload) ([]*common.Payload, error) { return each(in, c.seal) }

// Decode opens payloads. Those that are not sealed stay as they are.
func (c *Codec) Decode(in []*common.Payload) ([]*common.Payload, error) { return each(in, c.open) }

func each(in []*common.Payload, do func(*common.Payload) (*common.Payload, error)) ([]*common.Payload, error) {
	out := make([]*common.Payload, len(in))
	for i, p := range in {
		var err error
		if out[i], err = do(p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *Codec) seal(p *common.Payload) (*common.Payload, error) {
	plain, err := proto.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("seal a payload: %w", err)
	}
	sealed, err := c.keys[c.current].seal(plain, bound(c.current))
	if err != nil {
		return nil, fmt.Errorf("seal a payload: %w", err)
	}
	return &common.Payload{
		Metadata: map[string][]byte{converter.MetadataEncoding: []byte(encodingSealed), metaKeyID: []byte(c.current)},
		Data:     sealed,
	}, nil
}

func (c *Codec) open(p *common.Payload) (*common.Payload, error) {
	if !isSealed(p) {
		return p, nil
	}
	id := string(p.Metadata[metaKeyID])
	key, known := c.keys[id]
	if !known {
		return nil, fmt.Errorf("open a payload: it is sealed under key %q, which this installation does not have; "+
			"add the master key that it was sealed under to those that open", id)
	}
	plain, err := key.open(p.Data, bound(id))
	if err != nil {
		return nil, fmt.Errorf("open a payload: %w", err)
	}
	out := new(common.Payload)
	if err := proto.Unmarshal(plain, out); err != nil {
		return nil, fmt.Errorf("open a payload: %w", err)
	}
	return out, nil
}

func isSealed(p *common.Payload) bool {
	return string(p.GetMetadata()[converter.MetadataEncoding]) == encodingSealed
}

// bound is what a sealed payload is bound to beside its content.
func bound(keyID string) []byte { return []byte(encodingSealed + " " + keyID) }

// DataConverter seals everything that goes into a history.
func (c *Codec) DataConverter() converter.DataConverter {
	return converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), c)
}

// FailureConverter seals the messages and stack traces of failures too.
func (c *Codec) FailureConverter() converter.FailureConverter {
	return temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter: c.DataConverter(), EncodeCommonAttributes: true,
	})
}

// Format keeps the keys out of whatever prints the codec.
func (c *Codec) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[payload codec, key "+c.current+"]") }
