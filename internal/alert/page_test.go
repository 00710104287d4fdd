package alert

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func pythonOfPage(t *testing.T) string {
	t.Helper()
	_, code, found := strings.Cut(page(t), "```python\n")
	code, _, closed := strings.Cut(code, "```")
	if !found || !closed {
		t.Fatal("docs/alerts.md has no Python")
	}
	return code
}

// The page explains every field.
func TestPageHasTheFields(t *testing.T) {
	text := page(t)
	for _, of := range []reflect.Type{reflect.TypeFor[Alert](), reflect.TypeFor[Band]()} {
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if !strings.Contains(text, "| `"+name+"`") && !strings.Contains(text, "`band."+name+"`") {
				t.Errorf("docs/alerts.md does not explain %s", name)
			}
		}
	}
}
