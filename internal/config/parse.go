package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The parsers turn a value's text into what the program uses. Their errors say what would be right and never repeat
// the text, because it may be a secret: who reports the error decides whether to show it.

// into makes a setter of a parser and the place for its result.
func into[T, V any](at func(*T) *V, parse func(string) (V, error)) func(*T, string) error {
	return func(t *T, text string) error {
		v, err := parse(text)
		if err == nil {
			*at(t) = v
		}
		return err
	}
}

func matching(pattern, want string) func(string) (string, error) {
	re := regexp.MustCompile(`^(?:` + pattern + `)$`)
	return func(text string) (string, error) {
		if !re.MatchString(text) {
			return "", errors.New("want " + want)
		}
		return text, nil
	}
}

func oneOf(values ...string) func(string) (string, error) {
	last := len(values) - 1
	want := values[last]
	if last > 0 {
		want = strings.Join(values[:last], ", ") + " or " + want
	}
	return func(text string) (string, error) {
		if !slices.Contains(values, text) {
			return "", errors.New("want " + want)
		}
		return text, nil
	}
}

// anyText leaves it to others what a text means.
func anyText(text string) (string, error) { return text, nil }

func parseBool(text string) (bool, error) {
	switch text {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, errors.New("want true or false")
}

func integer[V int | int64](low, high V) func(string) (V, error) {
	return func(text string) (V, error) {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < int64(low) || n > int64(high) {
			return 0, fmt.Errorf("want a whole number from %d to %d", low, high)
		}
		return V(n), nil
	}
}

// share parses a number in [0,1].
func share(text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= 1) { // also not a number
		return 0, errors.New("want a number from 0 to 1")
	}
	return f, nil
}

// optional makes a parser's result a pointer, for settings whose absence means something.
func optional[V any](parse func(string) (V, error)) func(string) (*V, error) {
	return func(text string) (*V, error) {
		v, err := parse(text)
		return &v, err
	}
}

func duration(low, high time.Duration) func(string) (time.Duration, error) {
	return func(text string) (time.Duration, error) {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, errors.New("want a duration such as 90s or 5m")
		}
		if d < low || d > high {
			return 0, fmt.Errorf("want a duration from %s to %s", shortDuration(low), shortDuration(high))
		}
		return d, nil
	}
}

// shortDuration writes 1h as 1h, not as 1h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// units in the order in which sizes are written with them: the largest that divides a size evenly.
var units = [...]struct {
	name  string
	bytes int64
}{
	{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}, {"B", 1},
}

func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "BGKMi")
	unit := int64(1)
	if name := text[len(digits):]; name != "" {
		unit = 0
		for _, u := range units {
			if u.name == name {
				unit = u.bytes
			}
		}
	}
	n, err := strconv.ParseInt(strings.TrimRight(digits, " "), 10, 64)
	if err != nil || unit == 0 || n < 0 || n > math.MaxInt64/unit {
		return 0, errors.New("want bytes, or a size with KiB, MiB, GiB, KB, MB or GB, such as 64MiB")
	}
	return n * unit, nil
}

func formatSize(n int64) string {
	for _, u := range units {
		if n != 0 && n%u.bytes == 0 && u.bytes > 1 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

func size(low, high int64) func(string) (int64, error) {
	return func(text string) (int64, error) {
		n, err := parseSize(text)
		if err != nil {
			return 0, err
		}
		if n < low || n > high {
			return 0, fmt.Errorf("want a size from %s to %s", formatSize(low), formatSize(high))
		}
		return n, nil
	}
}

func splitList(text string) []string {
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// fileList parses names of files.
func fileList(text string) ([]string, error) {
	names := splitList(text)
	if slices.Contains(names, "") {
		return nil, errors.New("want files separated by commas; one of the names is empty")
	}
	return names, nil
}

// columnList parses names of columns. Columns are lower-case whatever the records say.
func columnList(text string) ([]string, error) {
	names := splitList(strings.ToLower(text))
	for i, name := range names {
		if name == "" {
			return nil, errors.New("want columns separated by commas; one of the names is empty")
		}
		if slices.Contains(names[:i], name) {
			return nil, errors.New("want each column once")
		}
	}
	return names, nil
}

func parseStart(text string) (Start, error) {
	switch p := Position(text); p {
	case TrimHorizon, Latest:
		return Start{Position: p}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return Start{}, errors.New("want TRIM_HORIZON, LATEST, or an RFC 3339 time such as 2026-01-31T09:00:00Z")
	}
	return Start{Position: AtTimestamp, Time: t}, nil
}

func parseTimezone(text string) (*time.Location, error) {
	// Local is whatever the machine says, and the workers of one stream must agree.
	if text != "Local" {
		if zone, err := time.LoadLocation(text); err == nil {
			return zone, nil
		}
	}
	return nil, errors.New("want UTC or a name of the IANA time zone database such as Europe/Berlin")
}

var bucketShape = matching(`[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]`,
	"a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens, with a letter or digit at both ends")

func parseBucket(text string) (string, error) {
	if _, err := bucketShape(text); err != nil {
		return "", err
	}
	if _, err := netip.ParseAddr(text); err == nil || strings.Contains(text, "..") {
		return "", errors.New("want a bucket's name, which is no address and has no two dots in a row")
	}
	return text, nil
}

func parseHTTPAddr(text string) (string, error) {
	want := errors.New("want host:port such as 127.0.0.1:9464, :9464 for all addresses of the machine, or off")
	if text == "off" {
		return text, nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || strings.ContainsAny(host, "/ @") {
		return "", want
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", want
	}
	return text, nil
}

// parseLoopbackAddr takes no names: what they mean is for a resolver to say.
func parseLoopbackAddr(text string) (string, error) {
	if text == "off" {
		return text, nil
	}
	if addr, err := netip.ParseAddrPort(text); err != nil || !addr.Addr().IsLoopback() {
		return "", errors.New("want a loopback address and a port, such as 127.0.0.1:6060 or [::1]:6060, or off")
	}
	return text, nil
}

// objectPrefix checks what holds for any beginning of an object's key; the syntax of expressions is not its business.
func objectPrefix(text string) (string, error) {
	if strings.HasPrefix(text, "/") || len(text) > 512 {
		return "", errors.New("want a prefix of at most 512 bytes that does not begin with a slash")
	}
	// To S3 these are names like any other; to whoever lists or copies the objects as files they lead elsewhere.
	for part := range strings.SplitSeq(text, "/") {
		if part == "." || part == ".." {
			return "", errors.New("want a prefix without . and .. between its slashes")
		}
	}
	return text, nil
}

func folderPrefix(text string) (string, error) {
	if !strings.HasSuffix(text, "/") {
		return "", errors.New("want a prefix that ends with a slash")
	}
	return objectPrefix(text)
}
