package ops

import (
	"io"
	"log/slog"
)

// NewLogger writes lines of the format json or text to w, from the level on: debug, info, warn or error. An empty
// format is text on a terminal and json elsewhere, an empty level info.
func NewLogger(w io.Writer, format, level string, terminal bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	var l slog.Level
	if l.UnmarshalText([]byte(level)) == nil {
		options.Level = l
	}
	if format == "text" || format == "" && terminal {
		if terminal {
			options.ReplaceAttr = shortTime
		}
		return slog.New(slog.NewTextHandler(w, options))
	}
	options.ReplaceAttr = readableDuration
	return slog.New(slog.NewJSONHandler(w, options))
}

// shortTime is for who reads a line as it appears, and knows the date.
func shortTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		a.Value = slog.StringValue(a.Value.Time().Format("15:04:05.000"))
	}
	return a
}

// readableDuration gives the unit, as text lines have it; JSON would have a bare number of nanoseconds.
func readableDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
