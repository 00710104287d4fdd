package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var terminal, other bytes.Buffer
		p, quiet := startProgress(&terminal, true), startProgress(&other, false)
		line := func() string {
			p.mu.Lock() // which is held while the line is written
			defer p.mu.Unlock()
			text := terminal.String()
			terminal.Reset()
			return strings.ReplaceAll(text, "\r\x1b[K", "|")
		}
		for _, step := range []struct {
			part  string
			n     int64
			share float64
			after time.Duration
			want  string
		}{
			{"", 0, 0, 1500 * time.Millisecond, ""}, // nothing to tell yet
			{"commits", 0, 0, 0, ""},
			{"commits", 50, 0.25, 2 * time.Second, "|50 commits  25%  100/s  2s left|50 commits  25%  33/s  5s left"},
			{"commits", 200, 1, time.Second, "|200 commits  100%  80/s  0s left"},
			{"objects", 7, 0, time.Second, "|7 objects  14/s"},
		} {
			if step.part != "" {
				p.set(step.part, step.n, step.share)
				quiet.set(step.part, step.n, step.share)
			}
			time.Sleep(step.after)
			synctest.Wait()
			if got := line(); got != step.want {
				t.Errorf("%s, %d, %v: %q; want %q", step.part, step.n, step.share, got, step.want)
			}
		}
		p.hide()
		p.hide()
		if got := line(); got != "|" {
			t.Errorf("hidden: %q", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		p.stop()
		p.stop()
		quiet.stop()
		if got := line(); !strings.HasPrefix(got, "|7 objects") || !strings.HasSuffix(got, "/s|") {
			t.Errorf("shown again, and stopped: %q", got)
		}
		if other.Len() > 0 {
			t.Errorf("not on a terminal: %q", other.String())
		}
	})
}
