package s3gw

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/posix"
)

// What versitygw names things; it exports only the folder of the uploads.
const (
	inProgress     = ".inprogress" // ends the name of an upload that is being completed; the upload's id begins it
	keyAttribute   = "objname"     // of the uploads of a key
	partsAttribute = "mp-metadata" // of an object: the upload that it was
	attributes     = "meta"        // in the sidecar: the folder of an object's attributes
)

// recoverUploads takes up uploads that a gateway was completing when it was killed. versitygw itself would for ever take
// them for being completed by another call, and answer success, although nobody is at work and there is no object. Nothing
// else uses the folders meanwhile.
func recoverUploads(dir, sidecar string) error {
	folders, err := fs.Glob(os.DirFS(dir), path.Join("*", posix.MetaTmpMultipartDir, "*", "*"+inProgress))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if err := recoverUpload(dir, sidecar, filepath.FromSlash(folder)); err != nil {
			return err
		}
	}
	return nil
}

// recoverUpload takes up the upload whose folder has this path, relative to dir.
func recoverUpload(dir, sidecar, folder string) error {
	bucket, _, _ := strings.Cut(folder, string(filepath.Separator))
	uploads, name := filepath.Split(folder)
	id, _, _ := strings.Cut(name, ".")
	key, err := os.ReadFile(filepath.Join(sidecar, uploads, attributes, keyAttribute))
	if err != nil {
		return err
	}
	object := filepath.Join(bucket, string(key))
	_, err = os.Lstat(filepath.Join(dir, object))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// The object's attributes are written before it is there. They would make it look as if it were.
		if err := os.RemoveAll(filepath.Join(sidecar, object, attributes)); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		made, err := madeFrom(filepath.Join(sidecar, object, attributes, partsAttribute), id)
		if err != nil {
			return err
		}
		if made { // all that was left to do is to clean up
			return errors.Join(os.RemoveAll(filepath.Join(dir, folder)), os.RemoveAll(filepath.Join(sidecar, folder)))
		}
	}
	// The attributes first: until the folder has its own name again, this can be repeated.
	before := filepath.Join(uploads, id)
	if err := os.Rename(filepath.Join(sidecar, folder), filepath.Join(sidecar, before)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(filepath.Join(dir, folder), filepath.Join(dir, before))
}

// madeFrom tells whether an object's attribute says that it was made from the upload.
func madeFrom(attribute, id string) (bool, error) {
	text, err := os.ReadFile(attribute)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	upload, err := backend.UnmarshalMpUploadMetadata(text, false)
	return upload.UploadID == id, err
}
