// Package sink says where rows go and turns them into the bytes of files: prefix expressions and partitions (prefix.go,
// partition.go), the encoders (encoder.go) of Parquet (parquet.go) and of lines (lines.go, json.go), and the lines of what was
// rejected (rejects.go). And it counts the rows of files (footer.go, jsonrows.go).
//
// It moves no bytes: the stores in sink/s3 and sink/dir do.
package sink
