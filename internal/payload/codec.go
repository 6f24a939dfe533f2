// Package payload encrypts what stands in workflows' histories. Every payload
// is sealed with AES-256-GCM under a key of the installation; one that is
// larger than 16 KiB goes to the blob store, sealed, and the history holds its
// digest. The Temporal Web UI reads payloads through Handler, behind our login.
//
// Payloads that somebody sent unsealed (a signal by hand in the Web UI) pass as
// they are.
package payload

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	common "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"symbi.dev/symbi/agent"
)

// Metadata of sealed payloads. They stand in histories.
const (
	encodingSealed = "binary/symbi-aes256gcm"
	encodingStored = "binary/symbi-blob"
	metaKeyID      = "symbi-key"
)

// Bounds of payloads.
const (
	// inlineBytes is the largest sealed payload that a history holds itself (DESIGN §4).
	inlineBytes = 16 << 10
	// storedBytes bounds what is read back from the blob store.
	storedBytes = 64 << 20
	// blobTimeout bounds one trip to the blob store; Temporal gives codecs no context.
	blobTimeout = 10 * time.Second
)

// Blobs keeps what is too large for a history.
type Blobs interface {
	PutBytes(ctx context.Context, b []byte) (agent.Digest, error)
	GetBytes(ctx context.Context, d agent.Digest, limit int64) ([]byte, error)
}

// Codec seals and opens payloads.
type Codec struct {
	blobs   Blobs
	current string // the ID of the key that seals
	keys    map[string]cipher.AEAD
}

// NewCodec seals with the first key and opens with all of them, so that a key
// can be replaced while histories under the old one live.
func NewCodec(blobs Blobs, keys ...[]byte) (*Codec, error) {
	c := &Codec{blobs: blobs, keys: map[string]cipher.AEAD{}}
	for i, key := range keys {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("make a payload codec: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("make a payload codec: %w", err)
		}
		id := keyID(key)
		c.keys[id] = aead
		if i == 0 {
			c.current = id
		}
	}
	if c.current == "" {
		return nil, agent.Errorf(agent.ErrInvalid, "a payload codec needs a key")
	}
	return c, nil
}

// keyID names a key without telling it.
func keyID(key []byte) string {
	sum := sha256.Sum256(append([]byte("symbi key id "), key...))
	return hex.EncodeToString(sum[:4])
}

// Encode seals payloads.
func (c *Codec) Encode(in []*common.Payload) ([]*common.Payload, error) {
	out := make([]*common.Payload, len(in))
	for i, p := range in {
		var err error
		if out[i], err = c.seal(p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Decode opens payloads.
func (c *Codec) Decode(in []*common.Payload) ([]*common.Payload, error) {
	out := make([]*common.Payload, len(in))
	for i, p := range in {
		var err error
		if out[i], err = c.open(p); err != nil {
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
	aead := c.keys[c.current]
	sealed := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	if _, err := rand.Read(sealed); err != nil {
		return nil, fmt.Errorf("seal a payload: %w", err)
	}
	sealed = aead.Seal(sealed, sealed, plain, []byte(c.current))
	meta := map[string][]byte{converter.MetadataEncoding: []byte(encodingSealed), metaKeyID: []byte(c.current)}
	if len(sealed) <= inlineBytes {
		return &common.Payload{Metadata: meta, Data: sealed}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), blobTimeout)
	defer cancel()
	digest, err := c.blobs.PutBytes(ctx, sealed)
	if err != nil {
		return nil, fmt.Errorf("keep a large payload: %w", err)
	}
	meta[converter.MetadataEncoding] = []byte(encodingStored)
	return &common.Payload{Metadata: meta, Data: []byte(digest)}, nil
}

func (c *Codec) open(p *common.Payload) (*common.Payload, error) {
	sealed := p.Data
	switch string(p.Metadata[converter.MetadataEncoding]) {
	case encodingSealed:
	case encodingStored:
		ctx, cancel := context.WithTimeout(context.Background(), blobTimeout)
		defer cancel()
		var err error
		if sealed, err = c.blobs.GetBytes(ctx, agent.Digest(p.Data), storedBytes); err != nil {
			return nil, fmt.Errorf("fetch a large payload: %w", err)
		}
	default:
		return p, nil
	}
	id := string(p.Metadata[metaKeyID])
	aead, known := c.keys[id]
	if !known {
		return nil, fmt.Errorf("open a payload: it is sealed under key %q, which this installation does not have", id)
	}
	if len(sealed) < aead.NonceSize() {
		return nil, fmt.Errorf("open a payload: it is cut short")
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(id))
	if err != nil {
		return nil, fmt.Errorf("open a payload: it was altered, or the key is not the one it names")
	}
	out := new(common.Payload)
	if err := proto.Unmarshal(plain, out); err != nil {
		return nil, fmt.Errorf("open a payload: %w", err)
	}
	return out, nil
}

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

// Handler opens payloads for the Temporal Web UI. Whoever mounts it answers
// for who may call it.
func (c *Codec) Handler() http.Handler { return converter.NewPayloadCodecHTTPHandler(c) }
