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
		"data/dt=!{timestamp:yyyy-MM-dd}/": "data/ [dt=]",
		"a/ingest_year=!{timestamp:yyyy}/ingest_month=!{timestamp:MM}/x":             "a/ [ingest_year= ingest_month=]",
		"logs/!{timestamp:yyyy/MM/dd/HH}/":                                           "logs/ [y M d H]",
		"logs/!{timestamp:'year='yyyy'/month='MM}/":                                  "logs/ [year= month=]",
		"logs/!{timestamp:yyyy-MM}/fixed/hour=!{timestamp:HH}h/part-!{timestamp:mm}": "logs/ [? 'fixed' hour=]",
		"!{timestamp:yyyy}/":     " [y]",
		"dt=!{timestamp:yyyy}/":  " [dt=]",
		"a/!{timestamp:yyyy}=x/": "a/ [?]",
		"a/=!{timestamp:yyyy}/":  "a/ [?]",
		"a/b-!{timestamp:yyyy}-!{timestamp:MM}/c=!{timestamp:dd}-!{timestamp:HH}/!{timestamp:mm}/": "a/ [? c= m]",
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
				shown = append(shown, f.Name+"=")
			case f.Unit != 0:
				shown = append(shown, string(f.Unit))
			default:
				shown = append(shown, "?")
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
	if location, levels := p.Folders(); location != "errors/" || !slices.Equal(levels, []Folder{{}, {Name: "dt"}}) {
		t.Errorf("the error prefix gives %q %v", location, levels)
	}
}
