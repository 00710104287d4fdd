package ops

import (
	"io"
	"log/slog"
)

// NewLogger writes lines of the format json or text to w, from a level on, which may be a variable. An empty
// format is text on a terminal and json elsewhere.
func NewLogger(w io.Writer, format string, level slog.Leveler, terminal bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "text" || format == "" && terminal {
		if terminal {
			options.ReplaceAttr = shortTime
		}
		return slog.New(slog.NewTextHandler(w, options))
	}
	options.ReplaceAttr = readableDuration
	return slog.New(slog.NewJSONHandler(w, options))
}

// Level is the level called debug, info, warn or error; info where it is called otherwise.
func Level(name string) slog.Level {
	var l slog.Level
	if l.UnmarshalText([]byte(name)) != nil {
		return slog.LevelInfo
	}
	return l
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
