package embedded

import (
	"bytes"
	"errors"
	"testing"

	"github.com/reattach/reattach/failover"
)

// FuzzDecode: bytes that some other program, or a damaged disk, left are an
// error or an entry, and an entry is stored as it was read.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(make([]byte, head))
	f.Add(encode(failover.Entry{CreateIndex: 1, ModifyIndex: 2, Flags: 3}))
	f.Add(encode(failover.Entry{CreateIndex: 1, ModifyIndex: 1<<64 - 1, Value: []byte("value")}))
	f.Fuzz(func(t *testing.T, stored []byte) {
		e, err := decode("key", stored)
		if err != nil {
			if !errors.Is(err, ErrForeign) {
				t.Errorf("error is %v", err)
			}
			return
		}
		if !e.Exists() || e.Key != "key" || e.Value != nil && len(e.Value) == 0 {
			t.Errorf("%+v", e)
		}
		if !bytes.Equal(encode(e), stored) {
			t.Errorf("%x was read as %+v", stored, e)
		}
	})
}
