package check

import (
	"cmp"
	"fmt"
	"slices"
)

// Upload is a multipart upload that is neither complete nor aborted.
type Upload struct{ Key, ID string }

// Uploads judges what is left of uploads when the service has stopped: each must be one of the service's, and none may be
// of an epoch below that of its shard when the cleaner has run since. It returns how many wait for the cleaner.
func (o Output) Uploads(left []Upload, shards []Shard, cleaned bool) (waiting int, err error) {
	epochs := map[int64]int64{}
	for _, s := range shards {
		number, err := ShardNumber(s.ID)
		if err != nil {
			return 0, err
		}
		epochs[number] = s.Epoch
	}
	var wrong differences
	slices.SortFunc(left, func(a, b Upload) int { return cmp.Compare(a.Key, b.Key) })
	for _, u := range left {
		object, ok := o.parse(u.Key)
		epoch, known := epochs[object.shard]
		switch {
		case !ok:
			wrong.add("an upload of %s, which is no object of the service's", u.Key)
		case !known || object.epoch > epoch:
			wrong.add("an upload of %s, and the shard is in epoch %d", u.Key, epoch)
		case cleaned && object.epoch < epoch:
			wrong.add("an upload of %s is left by the cleaner; the shard is in epoch %d", u.Key, epoch)
		default:
			waiting++
		}
	}
	return waiting, wrong.err(fmt.Sprintf("%d uploads that are left", len(left)))
}
