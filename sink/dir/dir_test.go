package dir

import (
	"testing"

	"github.com/sluice-etl/sluice/sink/storetest"
)

func TestContract(t *testing.T) {
	folder := t.TempDir()
	storetest.Run(t, func(t *testing.T) storetest.Store {
		s, err := New(Options{Dir: folder})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
