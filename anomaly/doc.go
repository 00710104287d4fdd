// Package anomaly flags abnormal records by what a detector has seen before them. Detectors are pure: they have no
// clock (the records' own times are it), no I/O, no goroutine and no randomness, so that the same records in the same
// order always give the same verdicts. Their state is bounded and can be saved and restored byte for byte.
//
// An [Engine] holds the detectors of one shard and asks them about each row of a table.
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
// the standard deviation of its counts in past windows (exponentially weighted, each clipped at the count at which it
// becomes abnormal), s at least √m, it takes u = m + 1.28 s, the upper tenth of a normal distribution, h = 0.4 s, and
// K/10 for the number of keys above u, where K is the number of keys: again E(n) counts the keys that would show such a
// count. "both" asks for both: the lower score counts.
//
// # Limits
//
// A detector sees the records of its own shard. With random partition keys a shard shows it a part of each key's
// records, with the key as partition key it sees all of them. A population in which a few keys are always far above the
// rest (a power law) has these flagged for good; "self" or "both" suits it. A population of fewer than ten keys says
// nothing: the detector is warming up, and flags nothing.
package anomaly
