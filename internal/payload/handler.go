package payload

import (
	"fmt"
	"net/http"

	"go.temporal.io/sdk/converter"
)

// maxRequestBytes bounds what is opened or sealed in one request: the largest
// page of a history that the Web UI asks for at once is far below it.
const maxRequestBytes = 32 << 20

// Handler opens and seals payloads for the Temporal Web UI: POST to a path that
// ends in /decode, /encode or /download, which fetches what Storage keeps. It
// opens whatever it is given; whoever mounts it answers for who may call it.
func (c *Codec) Handler() http.Handler {
	h, err := converter.NewPayloadHTTPHandler(converter.PayloadHTTPHandlerOptions{
		PreStorageCodecs: []converter.PayloadCodec{c},
		ExternalStorage:  c.Storage(),
	})
	if err != nil {
		panic(fmt.Errorf("the payload storage is set up wrongly: %w", err)) // its options are constants
	}
	return http.MaxBytesHandler(h, maxRequestBytes)
}
