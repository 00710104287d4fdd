package sink

import (
	"fmt"
	"slices"
	"testing"
)

func TestFolders(t *testing.T) {
	for expression, want := range map[string]string{
		"":                                 " []",
		"data/":                            "data/ []",
		"a/b/c":                            "a/b/ []",
		"data/dt=!{timestamp:yyyy-MM-dd}/": "data/ [dt=dt]",
		"a/ingest_year=!{timestamp:yyyy}/ingest_month=!{timestamp:MM}/x":             "a/ [ingest_year=ingest_year ingest_month=ingest_month]",
		"logs/!{timestamp:yyyy/MM/dd/HH}/":                                           "logs/ [year month day hour]",
		"logs/!{timestamp:'year='yyyy'/month='MM}/":                                  "logs/ [year=year month=month]",
		"logs/!{timestamp:yyyy-MM}/fixed/hour=!{timestamp:HH}h/part-!{timestamp:mm}": "logs/ [partition_0 'fixed' hour=hour]",
		"!{timestamp:yyyy}/":     " [year]",
		"dt=!{timestamp:yyyy}/":  " [dt=dt]",
		"a/!{timestamp:yyyy}=x/": "a/ [partition_0]",
		"a/=!{timestamp:yyyy}/":  "a/ [partition_0]",
		"a/b-!{timestamp:yyyy}-!{timestamp:MM}/C=!{timestamp:dd}-!{timestamp:HH}/!{timestamp:mm}/": "a/ [partition_0 C=c minute]",
	} {
		p, err := ParsePrefix(expression)
		if err != nil {
			t.Fatal(err)
		}
		location, levels := p.Folders()
		var shown []string
		for _, f := range levels {
			switch {
			case f.Text != "":
				shown = append(shown, "'"+f.Text+"'")
			case f.Name != "":
				shown = append(shown, f.Name+"="+f.Key)
			default:
				shown = append(shown, f.Key)
			}
		}
		if got := fmt.Sprint(location, " ", shown); got != want {
			t.Errorf("%q gives %q; want %q", expression, got, want)
		}
	}
	p, err := ParseErrorPrefix("errors/!{firehose:error-output-type}/dt=!{timestamp:yyyy}/")
	if err != nil {
		t.Fatal(err)
	}
	if location, levels := p.Folders(); location != "errors/" || !slices.Equal(levels, []Folder{{Key: "partition_0"}, {Name: "dt", Key: "dt"}}) {
		t.Errorf("the error prefix gives %q %v", location, levels)
	}
}
