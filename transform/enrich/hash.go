package enrich

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	stdhash "hash"
	"os"

	"github.com/sluice-etl/sluice/internal/columns"
)

const (
	leastKey  = 32 // bytes: as many as the hash has
	mostKey   = 4096
	hashBytes = 16 // 128 bits: among 10^12 values two are equal with a probability of 10^-15
)

// Key is the secret of hash. Its zero value is none.
type Key struct {
	secret []byte
	id     string
}

// ReadKey reads a key: the bytes of the file, without the newline at its end.
func ReadKey(file string) (*Key, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(text) < leastKey || len(text) > mostKey {
		return nil, fmt.Errorf("the key in the file has %d bytes; want %d to %d of them, at random, as in: openssl rand -hex 32", len(text), leastKey, mostKey)
	}
	if len(bytes.Trim(text, string(text[:1]))) == 0 {
		return nil, errors.New("the key in the file is one character again and again; want random ones, as in: openssl rand -hex 32")
	}
	id := sha256.Sum256(text)
	return &Key{text, hex.EncodeToString(id[:4])}, nil
}

// ID names the key: the first eight hexadecimal digits of its SHA-256. It tells keys apart, and nothing of a key that is random.
func (k *Key) ID() string { return k.id }

// GoString and String keep the key out of what is printed.
func (k *Key) GoString() string { return "key " + k.id }
func (k *Key) String() string   { return "key " + k.id }

// hash is the step hash(column).
type hash struct {
	column string
	key    *Key
}

// hashAction writes the first half of the HMAC-SHA256 (RFC 2104) of a value in hexadecimal digits, as RFC 2104, section 5,
// allows. The column's name has the key's id: values of two keys never meet in one column.
type hashAction struct {
	from, to int
	mac      stdhash.Hash
	text     []byte
	sum      []byte
}

func (h *hash) adds() []string { return []string{h.column + "_" + h.key.id} }

func (h *hash) bind(b *binding) (action, error) {
	from, err := b.column(h.column)
	if err != nil {
		return nil, err
	}
	to, err := b.add(h.adds()[0], columns.String)
	b.hide(from)
	return &hashAction{from: from, to: to, mac: hmac.New(sha256.New, h.key.secret)}, err
}

func (h *hashAction) do(t *columns.Table, row int) bool {
	from, to := &t.Columns[h.from], &t.Columns[h.to]
	if !from.Valid[row] {
		to.AppendNull()
		return true
	}
	h.text = from.AppendValue(h.text[:0], row)
	h.mac.Reset()
	h.mac.Write(h.text)
	h.sum = h.mac.Sum(h.sum[:0])
	h.text = hex.AppendEncode(h.text[:0], h.sum[:hashBytes])
	to.AppendText(h.text)
	return true
}

// drop is the step drop(column).
type drop struct{ column string }

func (d *drop) adds() []string { return nil }

func (d *drop) bind(b *binding) (action, error) {
	i, err := b.column(d.column)
	if err != nil {
		return nil, err
	}
	b.hide(i)
	return nil, nil
}
