// Package anomaly flags abnormal records by what a detector has seen before them. Detectors are pure: they have no
// clock (the records' own times are it), no I/O, no goroutine and no randomness, so that the same records in the same
// order always give the same verdicts. Their state is bounded and can be saved and restored byte for byte.
//
// An [Engine] holds the detectors of one shard and asks them about each row of a table. A [Track] scores a series that is
// one already. How each kind is tuned, and what it achieves, is told in docs/anomalies.md.
//
// # The kind rate
//
// A record is abnormal when its key came far more often in the rolling window than keys usually do. The score is the
// probability that an ordinary set of keys would have shown no key of such a count:
//
//	score = exp(-E(n))
//
// where n is the count of the key in the window, this record included, and E(n) the expected number of ordinary keys
// that come n times or more in one window. If the numbers of keys above n are independent of each other and each is
// rare, the number of them has the Poisson distribution with mean E(n), and exp(-E(n)) is its probability of 0. A
// threshold of 0.999, the default, thus takes one window in a thousand in which nothing is wrong for abnormal.
//
// E(n) comes from what the keys show. Only the upper end of the distribution of their counts matters, and beyond a high
// quantile u the excess n-u of almost any distribution is close to exponential, or geometric, as counts are whole
// (peaks over threshold: Balkema and de Haan 1974, Pickands 1975). With T(c) the number of keys that came c times or
// more, u the smallest count that at most a tenth of the keys exceeds, and h the distance over which the number of keys
// halves,
//
//	E(n) = (T(u+1) + 1) · 2^(-(n-u-1)/h),   h = ln 2 / ln((T(u+1)+2) / (T(u+d+1)+1)) · d
//
// where d is the smallest distance with T(u+d+1) <= T(u+1)/2. The added 1 and 2 are Laplace's, for the keys that were
// not seen yet. When fewer than 20 keys, or than one in fifty, exceed u, they may well be the abnormal ones themselves: the
// next smaller count that occurs is u then, so that what most keys show tells how the tail falls. Taking h from where the tail halves, and not from its mean, means that abnormal keys themselves, as long
// as they are less than half of the tail, do not move it: there is no outlier to clip. No population is steadier than
// one of random arrivals: h is at least 0.4·√u, the halving distance of a Poisson distribution of mean u at its upper
// tenth (the hazard rate of a normal distribution there is 1.75 standard deviations, and grows beyond).
//
// That is the baseline "population". The baseline "self" compares a key with its own past: with m and s the mean and
// the standard deviation of its counts in past windows (exponentially weighted; a window in which it was abnormal counts as u), s at least √m, it
// takes u = m + 1.28 s, the upper tenth of a normal distribution, h = 0.4 s, and K/10 for the number of keys above u, where K is the
// number of keys: again E(n) counts the keys that would show such a count. Of a new key the past is known, too: in all windows before, it did
// not come. "both" asks for both: the lower score counts.
//
// # The kind distinct
//
// The same, where n is the number of different values of a column that came with the key in the window: exact up to 64,
// and the estimate of a HyperLogLog sketch for each tenth of the window beyond.
//
// # The kind value
//
// What a key's metric has been is a range. A value is as strange as it lies outside, in widths of the range: e, damped to
// e·n/(n+20) after n values, and the score is e/(1+e). It is asked twice, of the values and of their binary logarithms. Away from 0 the
// lesser answer counts, as many quantities have a long tail there; towards 0 and beyond it the greater. The range loses 2e-5 of its width with each
// value and takes new ones in, but not at once: a lone value outside stretches it by a tenth of its width, one that follows another on the same
// side by all of it, and where more than one in eight of late lay far outside, as it is. The first ten only count together, without those that lie far
// from the others.
//
// # The kind series
//
// An aggregate of the last window (counts and sums by the second) is one value for each tenth of a window. Its strangeness is the sum, over five
// views, of how far it lies outside of the range that the view has shown, in widths: the value; its recent mean against its long one
// (weights 1); its distance from the usual one at this hour of the day, in usual distances (3/4); its magnitude against the recent ones; the step from the last
// value (1/2 each). It is damped to n/(n+1000) after n values. What is not stranger than what was said of late, fading by a factor of e in 30
// values, is no news, and has the score 0. An alert opens an episode; the next can come after a window in which nothing was strange. Only windows
// that do not overlap are learned from. Silence of a key is a count of 0 once a record comes, for the length of two windows.
//
// # The kind rule
//
// An expression that is true of a record in order; see the package expression. It learns nothing.
//
// # Scope
//
// With random partition keys each shard sees a part of a key's records. A detector of the scope "stream" counts those of the others, too. With
// its snapshot each shard tells (a summary) what it counts of all keys whose hash is below a bound, and of the busiest others. The hash is the
// same in all shards: so the keys below the least of their bounds are one sample of the stream's keys, of which the counts can be added up
// (coordinated samples: Cohen and Kaplan 2007, of the k least hashes). E(n) comes from the sums of the sample, and counts each of its keys
// for as many as it stands for; n is what the others told of the key, and what this shard counts. A count that a busy shard leaves out of
// its summary is missing: n is never too high.
//
// What others tell is taken up by SetPeers, right before a snapshot, and is part of it. So this holds: records that are judged after the
// same snapshot, until the next, have the same verdicts, whatever becomes of the others or of the process meanwhile. Two readings
// of the same records may differ only in rows that one of them judges after a later snapshot than the other: after a crash, those between where
// the batch that was lost ended and where the one in its place ends, and all that come after, as others may then tell something else. Of
// the scope "shard" no verdict depends on where snapshots are taken.
//
// What was told is as old as the commits: with a snapshot every minute up to two minutes and the time that a summary travels. It
// leaves the window as other counts do. A shard whose clock is more than a window from another's does not use what that one tells, and one that
// knows nothing of others, or of fewer than ten keys of the sample, judges by itself.
//
// # Episodes
//
// Where episodes are followed, see [Engine.Follow], those of all kinds are alike: one opens with the first flagged row of a key, peaks
// where the key is four times as far from what is expected as was told before, and closes after a quiet time. They are part of the snapshot.
//
// # Time
//
// A record more than a window older than the newest is late: it is judged where a judgement is possible, and not learned from. After 1,000 late records in a
// row, the clock is taken to have been set back.
//
// # Limits
//
// A detector of the scope "shard" sees the records of its own shard: with random partition keys a part of each key's
// records, with the key as partition key all of them. A population in which a few keys are always far above the
// rest (a power law) hides one that newly comes among them: "self" suits it. A population of fewer than ten keys says
// nothing: the detector is warming up, and flags nothing.
package anomaly
