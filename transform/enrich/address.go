package enrich

import (
	"bytes"
	"net/netip"

	"github.com/sluice-etl/sluice/internal/columns"
)

// parseAddress reads an IP address: bare, in brackets, or with a port. An IPv4 address within IPv6 is that IPv4 address, and a
// zone is no part of it. IPv4 addresses, which most are, cost no allocation.
func parseAddress(text []byte) (netip.Addr, bool) {
	if a, rest, ok := parseIPv4(text); ok && (len(rest) == 0 || isPort(rest)) {
		return a, true
	}
	if end := bytes.LastIndexByte(text, ']'); end > 0 && text[0] == '[' { // a zone may hold one, too
		if rest := text[end+1:]; len(rest) > 0 && !isPort(rest) {
			return netip.Addr{}, false
		}
		text = text[1:end]
	}
	if len(text) < len("::") || len(text) > 100 { // an error of the parser would hold a long text
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(string(text))
	return a.Unmap().WithZone(""), err == nil
}

// parseIPv4 reads an address in dotted decimal, as netip does: without leading zeros. It gives what follows it, too.
func parseIPv4(text []byte) (a netip.Addr, rest []byte, ok bool) {
	var bytes [4]byte
	for i := range bytes {
		n, digits := 0, 0
		for digits < len(text) && digits < 4 && '0' <= text[digits] && text[digits] <= '9' {
			n = 10*n + int(text[digits]-'0')
			digits++
		}
		if digits == 0 || n > 255 || digits > 1 && text[0] == '0' {
			return a, nil, false
		}
		bytes[i], text = byte(n), text[digits:]
		if i < 3 {
			if len(text) == 0 || text[0] != '.' {
				return a, nil, false
			}
			text = text[1:]
		}
	}
	return netip.AddrFrom4(bytes), text, true
}

// isPort tells whether a text is a colon and digits.
func isPort(text []byte) bool {
	if len(text) < 2 || text[0] != ':' {
		return false
	}
	for _, c := range text[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// addressAt is the address in a row of a text column.
func addressAt(c *columns.Column, row int) (netip.Addr, bool) {
	if !c.Valid[row] {
		return netip.Addr{}, false
	}
	return parseAddress(c.TextAt(row))
}

// network is the step network(column).
type network struct{ column string }

// networkAction writes the network of an address: the first 24 bits of IPv4, the first 48 of IPv6, which is what one site
// usually has, so that the households and hosts within it are not told apart.
type networkAction struct {
	from, to int
	text     []byte
}

func (n *network) adds() []string { return []string{n.column + "_network"} }

func (n *network) bind(b *binding) (action, error) {
	from, err := b.text(n.column)
	if err != nil {
		return nil, err
	}
	to, err := b.add(n.adds()[0], columns.String)
	return &networkAction{from: from, to: to}, err
}

func (n *networkAction) do(t *columns.Table, row int) bool {
	to := &t.Columns[n.to]
	address, ok := addressAt(&t.Columns[n.from], row)
	if !ok {
		to.AppendNull()
		return true
	}
	bits := 48
	if address.Is4() {
		bits = 24
	}
	prefix, _ := address.Prefix(bits) // fails for more bits than the address has
	n.text = prefix.AppendTo(n.text[:0])
	to.AppendText(n.text)
	return true
}
