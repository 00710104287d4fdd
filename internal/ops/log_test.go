package ops

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"testing"
	"time"
)

func TestLogFormat(t *testing.T) {
	const (
		inJSON   = `^\{"time":"\d{4}-[^"]+","level":"INFO","msg":"committed","took":"1\.5s","error":"it broke"\}\n$`
		inText   = `^time=\d{4}-\S+ level=INFO msg=committed took=1\.5s error="it broke"\n$`
		terminal = `^time=\d\d:\d\d:\d\d\.\d{3} level=INFO msg=committed took=1\.5s error="it broke"\n$`
	)
	for _, tt := range []struct {
		format   string
		terminal bool
		want     string
	}{
		{"json", false, inJSON}, {"json", true, inJSON}, {"", false, inJSON},
		{"text", false, inText}, {"text", true, terminal}, {"", true, terminal},
	} {
		var out bytes.Buffer
		NewLogger(&out, tt.format, slog.LevelInfo, tt.terminal).Info("committed", "took", 1500*time.Millisecond, "error", errors.New("it broke"))
		if !regexp.MustCompile(tt.want).Match(out.Bytes()) {
			t.Errorf("format %q, terminal %t: %s", tt.format, tt.terminal, out.Bytes())
		}
	}
}

func TestLogLevel(t *testing.T) {
	for level, want := range map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError, "": slog.LevelInfo,
	} {
		var out bytes.Buffer
		log := NewLogger(&out, "json", Level(level), false)
		for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			out.Reset()
			log.Log(t.Context(), l, "a line")
			if written := json.Valid(out.Bytes()); written != (l >= want) {
				t.Errorf("level %q: a line of %s is written: %t", level, l, written)
			}
		}
	}
}
