package redrive

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/sluice-etl/sluice/internal/once"
)

// claims are those on the lines of one file of rejects: objects with the numbers 1, 2, 3, of which each can be made only once,
// so that of two runs at a time one gets the number, and the other sees what it claims. Beside a claim whose records were
// sent lies an object that says so.
type claims struct {
	run    *run
	object string       // the file
	lines  map[int]bool // that are claimed, and whether they are known to be sent
	last   int          // the number of the last claim
}

// claim is the content of a claim.
type claim struct {
	Object string    `json:"object"`
	Lines  [][2]int  `json:"lines"` // ranges, from the first to behind the last, counted from 0
	Time   time.Time `json:"time"`
	Token  string    `json:"token"` // differs from that of every other
}

func (c *claims) key(extension string) string {
	return fmt.Sprintf("%s%x/%d.%s", c.run.State, sha256.Sum256([]byte(c.object)), c.last, extension)
}

// read reads the claims that came after those that are known.
func (c *claims) read(ctx context.Context) error {
	for {
		c.last++
		next, err := c.get(ctx)
		if next == nil {
			c.last--
			return err
		}
		_, err = c.run.Store.Get(ctx, c.key("sent"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, lines := range next.Lines {
			for line := lines[0]; line < lines[1]; line++ {
				c.lines[line] = c.lines[line] || err == nil
			}
		}
	}
}

// get gives the last claim, or nil where there is none.
func (c *claims) get(ctx context.Context) (*claim, error) {
	body, err := c.run.Store.Get(ctx, c.key("json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	got := &claim{}
	if err := json.Unmarshal(body, got); err != nil {
		return nil, fmt.Errorf("the claim %s cannot be read: %w", c.key("json"), err)
	}
	return got, nil
}

// claim claims those of the records that nobody else has claimed meanwhile, and gives them. The others are in doubt here.
func (c *claims) claim(ctx context.Context, batch []record) ([]record, error) {
	for {
		mine := claim{Object: c.object, Time: time.Now().UTC(), Token: rand.Text()}
		var free []record
		for _, r := range batch {
			if _, claimed := c.lines[r.line]; claimed && !c.run.Force {
				continue
			}
			free = append(free, r)
			if n := len(mine.Lines); n > 0 && mine.Lines[n-1][1] == r.line {
				mine.Lines[n-1][1]++
			} else {
				mine.Lines = append(mine.Lines, [2]int{r.line, r.line + 1})
			}
		}
		c.run.add(func(s *Summary) { s.InDoubt += len(batch) - len(free) })
		if batch = free; len(batch) == 0 {
			return nil, nil
		}
		c.last++
		made, err := c.make(ctx, &mine)
		if err != nil || made {
			return batch, err
		}
		// Another run is at work on this file, and was faster.
		c.last--
		if err := c.read(ctx); err != nil {
			return nil, err
		}
	}
}

// make makes the last claim, and tells whether it is this one.
func (c *claims) make(ctx context.Context, mine *claim) (bool, error) {
	body, err := json.Marshal(mine)
	if err != nil {
		return false, err
	}
	there, err := once.Create(ctx, c.run.Store, c.key("json"), mine.Token, body)
	return err == nil && bytes.Equal(there, body), err
}

// sent notes that the records of the last claim, which is of this run, are in the stream.
func (c *claims) sent(ctx context.Context) error {
	return c.run.Store.Put(ctx, c.key("sent"), []byte("{}\n"))
}
