package canary

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Files looks into every file below a folder, into gzip where its name says so, and tells of each secret that one holds. The id
// of the access key, which S3 keeps with a bucket, is none here. Files that go meanwhile are passed over.
//
// What Parquet compresses is not looked into, but for the footer: there the checks hold every value of every row against what was put.
func Files(folder string) (leaks []string, err error) {
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return gone(err)
		}
		found, err := inFile(path)
		if err != nil {
			return gone(err)
		}
		for _, name := range found {
			if name != accessKey {
				leaks = append(leaks, fmt.Sprintf("%s holds %s", path, name))
			}
		}
		return nil
	})
	return leaks, err
}

func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func inFile(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var in io.Reader = bufio.NewReader(f)
	if strings.HasSuffix(path, ".gz") {
		unzipped, err := gzip.NewReader(in)
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil // it is empty: being written
		case err == nil:
			in = unzipped
		}
	}
	var s Stream
	_, err = io.CopyBuffer(&s, in, make([]byte, 256<<10))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // being written
	}
	return s.Found(), err
}

// pages are what a service serves to whoever reaches the address of its metrics.
var pages = []string{"/metrics", "/readyz", "/healthz", "/", "/events"}

// Visit reads the pages of a service, of the events the first one, and tells of each secret that one shows. A service that does
// not answer shows none; answered counts the pages that were read.
func Visit(ctx context.Context, address string, more ...string) (leaks []string, answered int) {
	for _, page := range slices.Concat(pages, more) {
		text := read(ctx, "http://"+address+page)
		if len(text) > 0 {
			answered++
		}
		for _, name := range Find(text) {
			leaks = append(leaks, fmt.Sprintf("%s of %s shows %s", page, address, name))
		}
	}
	return leaks, answered
}

// read gives what an address answers with, header and body; of a stream of events the first.
func read(ctx context.Context, url string) []byte {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil
	}
	request.Header.Set("Accept", "application/openmetrics-text") // which shows exemplars, too
	answer, err := visitor.Do(request)
	if err != nil {
		return nil
	}
	defer answer.Body.Close()
	header := fmt.Append(nil, answer.Header)
	if answer.Header.Get("Content-Type") != "text/event-stream" {
		body, _ := io.ReadAll(answer.Body) // what came of it
		return append(header, body...)
	}
	for lines := bufio.NewReader(answer.Body); ; {
		line, err := lines.ReadBytes('\n')
		header = append(header, line...)
		if err != nil || len(line) == 1 { // an empty line ends an event
			return header
		}
	}
}

// visitor keeps no connection, of which a service may have few.
var visitor = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// Haunt visits a service again and again until it has ended, first soon and then less often, and tells leak of what it finds, each
// thing once.
func Haunt(ended <-chan struct{}, address string, leak func(string)) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	told := map[string]bool{}
	for pause := 500 * time.Millisecond; ; pause = min(2*pause, 8*time.Second) {
		timer := time.NewTimer(pause)
		select {
		case <-ended:
			timer.Stop()
			return
		case <-timer.C:
		}
		leaks, _ := Visit(ctx, address)
		for _, l := range leaks {
			if !told[l] {
				told[l] = true
				leak(l)
			}
		}
	}
}
