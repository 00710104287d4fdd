package backtest

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// File is a file that is read, and its name below the folder that was given, with slashes; where a file was given its last name.
type File struct{ Path, Name string }

// Find gives the files of paths; of folders all that lie below them.
func Find(paths []string) (files []File, err error) {
	for _, path := range paths {
		err := filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			name, err := filepath.Rel(path, file)
			if name == "." {
				name = filepath.Base(file)
			}
			files = append(files, File{file, filepath.ToSlash(name)})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// FindEnding gives the files of paths; of folders those whose names end so, of which there must be one.
func FindEnding(paths []string, suffix string) (files []File, err error) {
	for _, path := range paths {
		found, err := Find([]string{path})
		if err != nil {
			return nil, err
		}
		found = slices.DeleteFunc(found, func(f File) bool { return f.Path != path && !strings.HasSuffix(f.Name, suffix) })
		if len(found) == 0 {
			return nil, fmt.Errorf("%s: there is no file *%s in this folder", path, suffix)
		}
		files = append(files, found...)
	}
	return files, nil
}

// distinct refuses two files of one name, since results are told apart by it; those of a picture end otherwise.
func distinct(files []File) error {
	names := map[string]bool{}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name, SeriesExtension)
		if names[name] {
			return fmt.Errorf("%s: another file is called %s, too", f.Path, f.Name)
		}
		names[name] = true
	}
	return nil
}
