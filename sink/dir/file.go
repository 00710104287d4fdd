package dir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// writeNew writes a new file and its content to the disk; not yet its name, which syncDir does.
func writeNew(path string, body []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// write gives a file its content, at once: readers see the old or the new, and a crash leaves the old or the new. It
// is for good with the next syncDir of its folder, which exists.
func (s *Store) write(path string, body []byte) error {
	temporary := filepath.Join(s.state, newID())
	err := writeNew(temporary, body)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(err, remove(temporary))
	}
	return nil
}

// makeDir makes a folder with all that lead to it, for good.
func (s *Store) makeDir(path string) error {
	s.making.Lock()
	defer s.making.Unlock()
	return makeDir(path)
}

func makeDir(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	// Another process may have made it meanwhile; a file of that name is found by whoever uses the folder.
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// syncDir writes the names in a folder to the disk.
func syncDir(path string) error {
	if runtime.GOOS == "windows" { // it cannot, and need not
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
