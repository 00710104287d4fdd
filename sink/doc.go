// Package sink says where rows go and turns them into the bytes of files: prefix expressions and partitions (prefix.go,
// partition.go), Parquet (parquet.go), and the lines of what was rejected (rejects.go).
//
// It moves no bytes: the stores in sink/s3 and sink/dir do.
package sink
