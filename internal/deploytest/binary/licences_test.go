package binary

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/licensecheck"
)

// The files that -update writes: the texts, and the page with their table, between two marks.
const (
	texts = root + "/internal/licences/texts.txt"
	page  = root + "/docs/security.md"
	begin = "<!-- made by go test ./internal/deploytest/binary -update -->\n"
	end   = "<!-- so far -->\n"
)

// platforms are those of the image: what is compiled for one of them may not be for the other.
var platforms = []string{"amd64", "arm64"}

// part is a module whose packages are in the binary, or a folder of the service's own in which lies what others wrote.
type part struct {
	path  string // of the module, or of the folder's package
	files []text // of the root first
}

type text struct{ name, body string } // the name is the file's within its part

// compiled is a package of the binary, as the go command lists it.
type compiled struct {
	ImportPath, Dir string
	Standard        bool
	GoFiles         []string
	Module          *struct{ Path, Dir string }
}

func packages(t *testing.T, architecture string) (all []compiled) {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,Standard,GoFiles,Module", "./cmd/sluice")
	list.Dir = root
	list.Env = append(list.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS=linux", "GOARCH="+architecture)
	for decoder := json.NewDecoder(strings.NewReader(output(t, list))); ; {
		var p compiled
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if !p.Standard {
			all = append(all, p)
		}
	}
}

// legal are the names of files that hold a licence, or what it demands to be shown. Some are Go's sources all the same.
var legal = regexp.MustCompile(`(?i)^(licen[cs]e|unlicen[cs]e|copying|copyright|notice)`)

func isNotice(name string) bool {
	return strings.HasPrefix(strings.ToLower(filepath.Base(name)), "notice")
}

// parts are those of the binary, by path. Where a package lies in a folder with a licence of its own, that goes with its module's.
func parts(t *testing.T) []part {
	t.Helper()
	folders := map[string]map[string]string{} // of each part, where they are by their names within it
	sources := map[string][]string{}          // Go files of each part
	for _, architecture := range platforms {
		for _, p := range packages(t, architecture) {
			path, top := p.Module.Path, p.Module.Dir
			if path == own {
				path, top = p.ImportPath, p.Dir // the service's own: only what lies in the folder itself
			}
			if folders[path] == nil {
				folders[path] = map[string]string{}
			}
			for _, name := range p.GoFiles {
				sources[path] = append(sources[path], filepath.Join(p.Dir, name))
			}
			for dir := p.Dir; ; dir = filepath.Dir(dir) {
				within, err := filepath.Rel(top, dir)
				if err != nil || strings.HasPrefix(within, "..") {
					t.Fatalf("%s does not lie in its module's %s: %v", p.Dir, top, err)
				}
				folders[path][within] = dir
				if dir == top {
					break
				}
			}
		}
	}
	var all []part
	for _, path := range slices.Sorted(maps.Keys(folders)) {
		p := part{path: path}
		for _, within := range slices.Sorted(maps.Keys(folders[path])) { // "." is the first
			p.files = append(p.files, legalFiles(t, folders[path][within], within)...)
		}
		if name := chosen[path]; name != "" {
			p.files = []text{{name, read(t, filepath.Join(folders[path]["."], name))}}
		}
		kept := filepath.Join("testdata", path)
		_, err := os.Stat(kept)
		switch licensed := slices.ContainsFunc(p.files, func(f text) bool { return !isNotice(f.name) }); {
		case strings.HasPrefix(path, own) && !licensed:
			continue
		case err == nil && licensed:
			t.Errorf("%s is there for a module that has a licence now: remove it", kept)
		case err == nil:
			p.files = legalFiles(t, kept, ".")
			declared(t, p, sources[path])
		}
		for _, source := range sources[path] {
			p.files = append(p.files, granted(t, p, source)...)
		}
		all = append(all, p)
	}
	return append(all, part{path: "Go's standard library", files: legalFiles(t, strings.TrimSpace(output(t, exec.Command("go", "env", "GOROOT"))), ".")})
}

func legalFiles(t *testing.T, folder, within string) (files []text) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Type().IsRegular() && legal.MatchString(entry.Name()) && filepath.Ext(entry.Name()) != ".go" {
			files = append(files, text{filepath.Join(within, entry.Name()), strings.Trim(read(t, filepath.Join(folder, entry.Name())), "\n") + "\n"})
		}
	}
	return files
}

// grant begins what a licence allows. Those of Apache's are by reference, so that they add nothing to a file of it.
var grant = regexp.MustCompile(`Permission is hereby granted|Redistribution and use in source`)

// granted are the licences in the comments of a source, of authors whose work a module has taken over, that are in none of the texts yet.
func granted(t *testing.T, p part, source string) (files []text) {
	t.Helper()
	code := read(t, source)
	if !grant.MatchString(code) {
		return nil
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), source, code, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, comment := range parsed.Comments {
		body := comment.Text()
		same := func(f text) bool { return strings.Contains(words(f.body), words(body)) }
		if grant.MatchString(body) && !slices.ContainsFunc(slices.Concat(p.files, files), same) {
			files = append(files, text{filepath.Base(source), body})
		}
	}
	return files
}

// words is a text without what differs by its layout.
func words(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }), " ")
}

var spdx = regexp.MustCompile(`(?m)^// SPDX-License-Identifier: (.+)$`)

// declared holds a licence that lies here, since the module leaves it out, against what the module's sources say.
func declared(t *testing.T, p part, sources []string) {
	t.Helper()
	of, err := licencesOf(p)
	if err != nil {
		t.Error(err)
		return
	}
	found := 0
	for _, source := range sources {
		for _, name := range spdx.FindAllStringSubmatch(read(t, source), -1) {
			found++
			if !slices.Contains(of, name[1]) {
				t.Errorf("%s: %s is under %s, and testdata has %v", p.path, filepath.Base(source), name[1], of)
			}
		}
	}
	if found == 0 {
		t.Errorf("%s: its sources name no licence by which that of testdata could be checked", p.path)
	}
}

// permitted are the licences that ask for nothing but that their texts go along with the binary, with the names that are in them (CC-BY),
// that a font is not sold alone (OFL), and that documentation names FreeType (FTL), as the page does.
var permitted = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "FTL", "ISC", "MIT", "OFL-1.1"}

// chosen are the texts of modules whose LICENSE leaves a choice, or stands beside a reference to itself.
var chosen = map[string]string{"github.com/golang/freetype": "licenses/ftl.txt", "github.com/ajstarks/svgo": "LICENSE"}

// licencesOf gives the licences of a part by their names in SPDX's list. One that is not permitted is an error, and so is a text that
// is none.
func licencesOf(p part) (names []string, err error) {
	for _, file := range p.files {
		if isNotice(file.name) {
			continue
		}
		found := licensecheck.Scan([]byte(file.body))
		// What is beside licences in such a file are names of authors, and which part is whose; in a comment there is more.
		known := 75.0
		if filepath.Ext(file.name) == ".go" {
			known = 25
		}
		if len(found.Match) == 0 || found.Percent < known {
			return nil, fmt.Errorf("%s: %s is a text of which licensecheck knows %.0f%%: read it", p.path, file.name, found.Percent)
		}
		for _, match := range found.Match {
			if !slices.Contains(permitted, match.ID) {
				return nil, fmt.Errorf("%s: %s is the licence %s, and permitted are %v: do what it asks for, or find another module", p.path, file.name, match.ID, permitted)
			}
			names = append(names, match.ID)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: there is no licence among its files: put that of its authors into internal/deploytest/binary/testdata/%s", p.path, p.path)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// joined is the text that the binary carries: each that there is once, and before it whose it is.
func joined(parts []part) string {
	var order []string
	owners := map[string][]string{}
	for _, p := range parts {
		for _, file := range p.files {
			if owners[file.body] == nil {
				order = append(order, file.body)
			}
			owner := p.path
			if dir := filepath.Dir(file.name); dir != "." {
				owner += ", its folder " + dir
			} else if filepath.Ext(file.name) == ".go" {
				owner += ", its file " + file.name
			}
			owners[file.body] = append(owners[file.body], owner)
		}
	}
	var out strings.Builder
	out.WriteString("What others wrote of this program, and the licences and notices of each.\n")
	for _, body := range order {
		fmt.Fprintf(&out, "\n%s\n\n%s\n\n%s", strings.Repeat("=", 80), strings.Join(owners[body], "\n"), body)
	}
	return out.String()
}

// table is that of the page: the licences, and the modules under them.
func table(t *testing.T, parts []part) string {
	t.Helper()
	under := map[string][]string{}
	for _, p := range parts {
		names, err := licencesOf(p)
		if err != nil {
			t.Error(err)
			continue
		}
		key := strings.Join(names, ", ")
		under[key] = append(under[key], p.path)
	}
	var out strings.Builder
	out.WriteString("| licence | whose |\n|---|---|\n")
	for _, key := range slices.Sorted(maps.Keys(under)) {
		fmt.Fprintf(&out, "| %s | %s |\n", key, strings.Join(folded(under[key]), ", "))
	}
	return out.String()
}

// folded mentions the modules of one repository once. The paths are in order.
func folded(paths []string) (mentions []string) {
	for i := 0; i < len(paths); {
		repository := strings.Join(strings.SplitN(paths[i], "/", 4)[:min(3, strings.Count(paths[i], "/")+1)], "/")
		n := 1
		for i+n < len(paths) && strings.HasPrefix(paths[i+n], repository+"/") {
			n++
		}
		mention := paths[i]
		if n > 1 {
			mention = fmt.Sprintf("%d of %s", n, repository)
		}
		mentions, i = append(mentions, mention), i+n
	}
	return mentions
}

// The licences and notices of all that is in the binary are those that it prints, and those of the page.
func TestLicences(t *testing.T) {
	all := parts(t)
	var modules []string
	for _, p := range all {
		if !strings.HasPrefix(p.path, own) && p.path != "Go's standard library" {
			modules = append(modules, p.path)
		}
	}
	for _, dep := range built.Deps { // the linker's own word, of this machine's architecture
		if !slices.Contains(modules, dep.Path) {
			t.Errorf("%s is in the binary, and the go command does not list it", dep.Path)
		}
	}
	if !slices.ContainsFunc(all, func(p part) bool { return p.path == own+"/internal/uplot" }) {
		t.Error("the licence of uPlot is not found")
	}
	written, text := table(t, all), read(t, page)
	before, rest, opened := strings.Cut(text, begin)
	old, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		t.Fatalf("%s is without the marks %q and %q", page, begin, end)
	}
	if t.Failed() {
		return
	}
	if *update {
		for path, text := range map[string]string{texts: joined(all), page: before + begin + written + end + after} {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	const again = "cd internal/deploytest/binary && GOWORK=off go test . -run Licences -update"
	if old != written {
		t.Errorf("the table of %s is stale: run %s; want\n%s", page, again, written)
	}
	if read(t, texts) != joined(all) {
		t.Errorf("%s is stale: run %s", texts, again)
	}
	if printed := output(t, exec.Command(sluice, "version", "--licences")); printed != joined(all) {
		t.Errorf("sluice version --licences prints %d bytes that are not the %d of the licences", len(printed), len(joined(all)))
	}
}

// What the checks are worth: each of these is refused, with the module's name.
func TestLicencesThatAreRefused(t *testing.T) {
	mit := read(t, root+"/internal/uplot/LICENSE")
	if names, err := licencesOf(part{"example.com/a", []text{{"LICENSE", mit}}}); err != nil || !slices.Equal(names, []string{"MIT"}) {
		t.Fatalf("of MIT's text: %v, %v", names, err)
	}
	if names, err := licencesOf(part{"example.com/a", []text{{"NOTICE", mit}}}); err == nil || !strings.Contains(err.Error(), "example.com/a: there is no licence") {
		t.Errorf("of a notice alone: %v, %v", names, err)
	}
	for name, body := range map[string]string{
		"none":              "All rights reserved.\n",
		"another's":         "You may use this program on Sundays, and on other days by the leave of its author, who is asked by letter.\n",
		"more than a known": mit + strings.Repeat("The program may not be used for evil, and whoever uses it shall tell the authors what for, each year anew.\n", 10),
		"one that asks for sources": "This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as " +
			"published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.\n",
	} {
		if names, err := licencesOf(part{"example.com/a", []text{{"LICENSE", body}}}); err == nil || !strings.HasPrefix(err.Error(), "example.com/a: ") {
			t.Errorf("%s: %v, %v", name, names, err)
		}
	}
}
