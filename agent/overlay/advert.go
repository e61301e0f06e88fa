package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// Bounds of an advertisement.
const (
	offersMax     = 64
	offerBytesMax = 128
)

// advert is what a node says about itself in its record "node": words such as "service:database",
// "datacenter:dc1" or "role:server", which mean nothing to this package.
type advert struct {
	Offers []string `codec:"o"`
}

func (a advert) has(offer string) bool { return slices.Contains(a.Offers, offer) }

func (a advert) check() error {
	if len(a.Offers) > offersMax {
		return fmt.Errorf("%d offers are more than %d", len(a.Offers), offersMax)
	}
	for _, o := range a.Offers {
		if o == "" || len(o) > offerBytesMax {
			return fmt.Errorf("an offer has 1 to %d bytes", offerBytesMax)
		}
	}
	return nil
}

func encodeAdvert(a advert) ([]byte, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	err := codec.NewEncoder(&buf, &codec.MsgpackHandle{WriteExt: true}).Encode(a)
	return buf.Bytes(), err
}

// parseAdvert reads bytes of another member. Unknown fields are let pass: a newer version may say more.
func parseAdvert(b []byte) (a advert, err error) {
	if len(b) > RecordBytesMax {
		return a, errors.New("advertisement too large")
	}
	h := &codec.MsgpackHandle{WriteExt: true}
	h.MaxInitLen = offersMax
	if err := codec.NewDecoderBytes(b, h).Decode(&a); err != nil {
		return a, fmt.Errorf("advertisement: %w", err)
	}
	return a, a.check()
}
