package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unbounded are the names by which a program listens, or serves what others have registered, past the package bounded.
var unbounded = map[string][]string{
	"net":  {"Listen", "ListenTCP", "ListenUnix", "ListenPacket", "ListenUDP", "ListenConfig", "FileListener"},
	"http": {"ListenAndServe", "ListenAndServeTLS", "Serve", "ServeTLS", "Handle", "HandleFunc", "DefaultServeMux"},
}

// limits are what every server says: what it serves, which else is the default mux, where packages register handlers as they are
// imported; and how long and large what it reads may be. How long it may write depends on what.
var limits = []string{"Handler", "ReadHeaderTimeout", "IdleTimeout", "MaxHeaderBytes", "ErrorLog"}

// Every listener of the service is bounded, by the package that is for it, and every server has its limits.
func TestListenersAreBounded(t *testing.T) {
	servers := 0
	for _, p := range list(t, "-deps", "./cmd/sluice") {
		if !strings.HasPrefix(p.ImportPath, module+"/") {
			continue
		}
		files, err := filepath.Glob(filepath.Join("../..", strings.TrimPrefix(p.ImportPath, module), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			parsed, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					from, _ := n.X.(*ast.Ident)
					if from != nil && slices.Contains(unbounded[from.Name], n.Sel.Name) && !in(p.ImportPath, "internal/bounded") {
						t.Errorf("%s: %s.%s; listen by the package bounded, and serve a handler of your own", set.Position(n.Pos()), from.Name, n.Sel.Name)
					}
				case *ast.CompositeLit:
					if s, ok := n.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Server" && isIdent(s.X, "http") {
						servers++
						for _, limit := range limits {
							if !slices.ContainsFunc(n.Elts, func(e ast.Expr) bool {
								field, ok := e.(*ast.KeyValueExpr)
								return ok && isIdent(field.Key, limit)
							}) {
								t.Errorf("%s: the server is without %s", set.Position(n.Pos()), limit)
							}
						}
					}
				}
				return true
			})
		}
	}
	if servers < 2 {
		t.Errorf("%d servers were found; want those of ops and of intake: this test looks for the wrong form", servers)
	}
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}
