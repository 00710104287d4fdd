package intake

import "fmt"

// unknownAccount stands in the ARNs of what is no resource of AWS.
const unknownAccount = "000000000000"

// describe tells of the stream what a client of Firehose wants to know before it puts: that it is there and takes records.
func (h *handler) describe(r *request) (any, *fault) {
	var input struct{ DeliveryStreamName string }
	if f := r.into(&input); f != nil {
		return nil, f
	}
	if f := h.isStream(input.DeliveryStreamName); f != nil {
		return nil, f
	}
	destination := map[string]any{
		"RoleARN":                 "arn:aws:iam::" + unknownAccount + ":role/sluice",
		"BucketARN":               "arn:aws:s3:::" + h.config.Bucket,
		"Prefix":                  h.config.Prefix,
		"ErrorOutputPrefix":       h.config.ErrorPrefix,
		"BufferingHints":          map[string]int{"SizeInMBs": 64, "IntervalInSeconds": 60},
		"CompressionFormat":       "UNCOMPRESSED", // of the object as a whole; what is compressed in Parquet is not its business
		"EncryptionConfiguration": map[string]string{"NoEncryptionConfig": "NoEncryption"},
	}
	return map[string]any{"DeliveryStreamDescription": map[string]any{
		"DeliveryStreamName":   h.config.Stream,
		"DeliveryStreamARN":    fmt.Sprintf("arn:aws:firehose:%s:%s:deliverystream/%s", h.config.Region, unknownAccount, h.config.Stream),
		"DeliveryStreamStatus": "ACTIVE",
		"DeliveryStreamType":   directPut,
		"VersionId":            "1",
		"HasMoreDestinations":  false,
		"Destinations": []any{map[string]any{
			"DestinationId":                    "destinationId-000000000001",
			"S3DestinationDescription":         destination,
			"ExtendedS3DestinationDescription": destination,
		}},
	}}, nil
}

const directPut = "DirectPut"

// list lists the one stream that there is, unless it is asked for others.
func (h *handler) list(r *request) (any, *fault) {
	var input struct{ DeliveryStreamType, ExclusiveStartDeliveryStreamName string }
	if f := r.into(&input); f != nil {
		return nil, f
	}
	names := []string{}
	if (input.DeliveryStreamType == "" || input.DeliveryStreamType == directPut) && input.ExclusiveStartDeliveryStreamName < h.config.Stream {
		names = append(names, h.config.Stream)
	}
	return map[string]any{"DeliveryStreamNames": names, "HasMoreDeliveryStreams": false}, nil
}
