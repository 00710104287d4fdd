package consumer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Firehose puts records into an Amazon Data Firehose delivery stream (Direct PUT). It makes its one call itself, as that is
// less than what the SDK's module of the service would bring:
//
// https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
type Firehose struct {
	SDK      aws.Config // its region, credentials and HTTP client are used
	Stream   string
	Endpoint string // as in https://firehose.eu-central-1.amazonaws.com; see FirehoseEndpoint
	// Acknowledged, if set, is told what the delivery stream has taken, once for each of its answers.
	Acknowledged func([]Receipt)
}

// Receipt is a record that a delivery stream has taken, and the id that it gave it.
type Receipt struct {
	ID   string
	Data []byte
}

// FirehoseEndpoint is where the service is: AWS_ENDPOINT_URL_FIREHOSE, else AWS_ENDPOINT_URL, else AWS's in the region.
func FirehoseEndpoint(region string) string {
	for _, name := range []string{"AWS_ENDPOINT_URL_FIREHOSE", "AWS_ENDPOINT_URL"} {
		if url := os.Getenv(name); url != "" {
			return url
		}
	}
	return "https://firehose." + region + ".amazonaws.com"
}

// The limits of one PutRecordBatch. That of records is MaxPutRecords.
const maxFirehoseBytes = 4 << 20

// firehoseAttempts is how often a request is made that fails as a whole, and for a reason that may pass.
const firehoseAttempts = 5

// firehoseRequest and firehoseAnswer are those of PutRecordBatch.
type (
	firehoseRequest struct {
		Stream  string           `json:"DeliveryStreamName"`
		Records []firehoseRecord `json:"Records"`
	}
	firehoseRecord struct {
		Data []byte // base64
	}
	firehoseAnswer struct {
		Responses []struct{ RecordID, ErrorCode, ErrorMessage string } `json:"RequestResponses"`
	}
)

// Put puts at most MaxPutRecords records, and tries those again that Firehose refuses for the moment, until the context ends.
// Partition keys mean nothing there. Records of one call may change their order when some are refused.
func (f *Firehose) Put(ctx context.Context, outgoing []Outgoing) error {
	var records []firehoseRecord
	size := 0
	for _, o := range outgoing {
		if size += len(o.Data); size > maxFirehoseBytes && len(records) > 0 {
			if err := f.putAll(ctx, records); err != nil {
				return err
			}
			records, size = nil, len(o.Data)
		}
		records = append(records, firehoseRecord{o.Data})
	}
	return f.putAll(ctx, records)
}

func (f *Firehose) putAll(ctx context.Context, records []firehoseRecord) error {
	for wait := firstRetry; len(records) > 0; wait = min(2*wait, lastReadRetry) {
		answer, err := f.request(ctx, records)
		if err != nil {
			return fmt.Errorf("put %d records to the delivery stream %s: %w", len(records), f.Stream, err)
		}
		if len(answer.Responses) != len(records) {
			return fmt.Errorf("put %d records to the delivery stream %s: the answer is about %d", len(records), f.Stream, len(answer.Responses))
		}
		var taken []Receipt
		var refused []firehoseRecord
		for i, r := range answer.Responses {
			if r.ErrorCode != "" {
				refused = append(refused, records[i])
			} else {
				taken = append(taken, Receipt{r.RecordID, records[i].Data})
			}
		}
		if f.Acknowledged != nil {
			f.Acknowledged(taken)
		}
		if records = refused; len(records) == 0 {
			return nil
		}
		if err := sleep(ctx, wait/2+rand.N(wait/2)); err != nil {
			return err
		}
	}
	return nil
}

// errTransient is of a request that may be made again.
var errTransient = errors.New("it may pass")

func (f *Firehose) request(ctx context.Context, records []firehoseRecord) (answer firehoseAnswer, err error) {
	body, err := json.Marshal(firehoseRequest{f.Stream, records})
	if err != nil {
		return answer, err
	}
	wait := firstRetry
	for attempt := 1; ; attempt++ {
		answer, err = f.call(ctx, body)
		if ctx.Err() != nil {
			return answer, context.Cause(ctx)
		}
		if !errors.Is(err, errTransient) || attempt == firehoseAttempts {
			return answer, err
		}
		if err := sleep(ctx, wait/2+rand.N(wait/2)); err != nil {
			return answer, err
		}
		wait *= 2
	}
}

// call makes the request once.
func (f *Firehose) call(ctx context.Context, body []byte) (answer firehoseAnswer, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.Endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return answer, err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", "Firehose_20150804.PutRecordBatch")
	if f.SDK.Credentials == nil {
		return answer, errors.New("there are no AWS credentials")
	}
	credentials, err := f.SDK.Credentials.Retrieve(ctx)
	if err != nil {
		return answer, err
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), "firehose", f.SDK.Region, time.Now()); err != nil {
		return answer, err
	}
	var client aws.HTTPClient = http.DefaultClient
	if f.SDK.HTTPClient != nil {
		client = f.SDK.HTTPClient
	}
	response, err := client.Do(request)
	if err != nil {
		return answer, fmt.Errorf("%w: %w", err, errTransient)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxFirehoseBytes))
	if err != nil {
		return answer, fmt.Errorf("%w: %w", err, errTransient)
	}
	if response.StatusCode != http.StatusOK {
		err := fmt.Errorf("%s: %.500s", response.Status, text)
		if response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests {
			return answer, fmt.Errorf("%w: %w", err, errTransient)
		}
		return answer, err
	}
	return answer, json.Unmarshal(text, &answer)
}
