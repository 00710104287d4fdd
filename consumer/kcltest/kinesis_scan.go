package kcltest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"
)

// scanner reads JSON in place. Everything a producer sends passes here, where encoding/json would take more time than the rest of the stand-in
// together. The first fault stops it: from then on everything reads as empty, and failed says so.
type scanner struct {
	rest   []byte
	failed bool
}

func (s *scanner) fail() { s.rest, s.failed = nil, true }

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for i, c := range s.rest {
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			s.rest = s.rest[i:]
			return c
		}
	}
	s.rest = nil
	return 0
}

// accept takes c if it is next.
func (s *scanner) accept(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *scanner) expect(c byte) {
	if !s.accept(c) {
		s.fail()
	}
}

// object calls member for each member's name; member must take the value.
func (s *scanner) object(member func(name string)) {
	s.expect('{')
	if s.accept('}') {
		return
	}
	for !s.failed {
		name := s.text()
		s.expect(':')
		if s.failed {
			return
		}
		member(string(unquote(name)))
		if !s.accept(',') {
			break
		}
	}
	s.expect('}')
}

// array calls element before each element, which must take it.
func (s *scanner) array(element func()) {
	s.expect('[')
	if s.accept(']') {
		return
	}
	for !s.failed {
		element()
		if !s.accept(',') {
			break
		}
	}
	s.expect(']')
}

// text takes a string and returns what is between its quotes, as it stands there; nil is null.
func (s *scanner) text() []byte {
	if s.peek() == 'n' {
		s.skip()
		return nil
	}
	s.expect('"')
	for end := 0; ; end++ {
		n := bytes.IndexByte(s.rest[end:], '"')
		if n < 0 {
			s.fail()
			return nil
		}
		end += n
		slashes := 0
		for slashes < end && s.rest[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			raw := s.rest[:end:end]
			s.rest = s.rest[end+1:]
			return raw
		}
	}
}

// skip takes any value.
func (s *scanner) skip() {
	var value json.RawMessage
	decoder := json.NewDecoder(bytes.NewReader(s.rest))
	if decoder.Decode(&value) != nil {
		s.fail()
		return
	}
	s.rest = s.rest[decoder.InputOffset():]
}

// end says whether everything was well formed and taken.
func (s *scanner) end() bool { return !s.failed && s.peek() == 0 && len(s.rest) == 0 }

// unquote returns the characters of a string of JSON: raw itself unless there are escapes.
func unquote(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	var text string
	if json.Unmarshal(append(append([]byte{'"'}, raw...), '"'), &text) != nil {
		return nil
	}
	return []byte(text)
}

// wellFormed says whether raw may stand between quotes in JSON.
func wellFormed(raw []byte) bool {
	for _, c := range raw {
		if c < ' ' {
			return false
		}
	}
	return utf8.Valid(raw) && (bytes.IndexByte(raw, '\\') < 0 || json.Valid(append(append([]byte{'"'}, raw...), '"')))
}

// base64Kinds marks the bytes of base64's alphabet.
var base64Kinds = func() (kinds [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		kinds[c] = true
	}
	return kinds
}()

// base64Size returns how many bytes base64 text stands for; ok is false where it is none, or not in the one form that encoders give.
func base64Size(text []byte) (size int, ok bool) {
	if len(text)%4 != 0 {
		return 0, false
	}
	body := bytes.TrimSuffix(text, []byte("="))
	body = bytes.TrimSuffix(body, []byte("="))
	for _, c := range body {
		if !base64Kinds[c] {
			return 0, false
		}
	}
	padding := len(text) - len(body)
	if padding > 0 {
		var last [3]byte
		if _, err := base64.StdEncoding.Strict().Decode(last[:], text[len(text)-4:]); err != nil {
			return 0, false
		}
	}
	return len(text)/4*3 - padding, true
}
