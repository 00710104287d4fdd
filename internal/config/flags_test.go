package config

import (
	"errors"
	"flag"
	"io"
	"slices"
	"testing"
	"time"
)

func TestFlagSyntax(t *testing.T) {
	own := flag.NewFlagSet("", flag.ContinueOnError)
	own.SetOutput(io.Discard)
	dry := own.Bool("dry-run", false, "")
	wait := own.Duration("duration", 0, "")
	c := load(t, []string{"a", "--create-table=false", "-app", "x-y", "--dry-run", "b", "--allow-insecure-endpoints", "-",
		"--duration", "3s", "--flush-bytes=4KiB", "--", "--app", "c"}, nil, Flags(own))
	if want := []string{"a", "b", "-", "--app", "c"}; !slices.Equal(c.Args, want) {
		t.Errorf("arguments %q, want %q", c.Args, want)
	}
	if c.CreateTable || c.App != "x-y" || !c.AllowInsecureEndpoints || c.FlushBytes != 4096 || !*dry || *wait != 3*time.Second {
		t.Errorf("%+v, %v, %v", c, *dry, *wait)
	}
}

func TestFlagFaults(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--flush-byte=1"}, "--flush-byte: there is no such flag; the nearest is --flush-bytes"},
		{[]string{"--flush_bytes", "1"}, "--flush_bytes: there is no such flag; the nearest is --flush-bytes"},
		{[]string{"--APP=x"}, "--APP: there is no such flag; the nearest is --app"},
		{[]string{"--durtion=1s"}, "--durtion: there is no such flag; the nearest is --duration"},
		{[]string{"--duration=1"}, `--duration: "1": parse error`},
		{[]string{"--app"}, "--app: needs a value"},
		{[]string{"--app", "--create-table"}, "--app: needs a value"},
		{[]string{"--anomaly-x-kind", "rate"}, "--anomaly-x-kind: no detector is called x in SLUICE_ANOMALY_DETECTORS; the nearest is --anomaly-detectors"},
	} {
		own := flag.NewFlagSet("", flag.ContinueOnError)
		own.Duration("duration", 0, "")
		f := faults(t, tt.args, nil, Flags(own))
		if f.Error() != tt.want {
			t.Errorf("%q: got %v, want %s", tt.args, f, tt.want)
		}
	}
	if f := faults(t, []string{"--nonsense"}, nil); !f.Usage() {
		t.Error("an unknown flag is wrong usage")
	}
	if f := faults(t, []string{"--app=?"}, nil); f.Usage() {
		t.Error("a wrong value is no wrong usage")
	}
}

func TestHelp(t *testing.T) {
	for _, arg := range []string{"-h", "--help", "-help"} {
		if _, err := Load([]string{arg}, nil, noFile); !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%s: %v", arg, err)
		}
	}
}
