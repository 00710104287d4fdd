// Package sns announces alerts by an Amazon SNS topic. It holds no policy: what is retried, and how often, is decided in package alert.
package sns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/sluice-etl/sluice/internal/alert"
	"github.com/sluice-etl/sluice/internal/config"
)

// Topic is a receiver of alerts.
type Topic struct {
	client *sns.Client
	arn    string
}

// Open makes a receiver of a topic's ARN. The topic's region counts, which need not be that of the stream.
func Open(cfg aws.Config, arn string) *Topic {
	return &Topic{arn: arn, client: sns.NewFromConfig(cfg, func(o *sns.Options) {
		if parts := strings.Split(arn, ":"); len(parts) == 6 {
			o.Region = parts[3]
		}
	})}
}

// Name implements alert.Receiver.
func (*Topic) Name() string { return "sns" }

// Send implements alert.Receiver. E-mails and short messages get a text, all others the JSON of the alert. A subscription can filter by
// the attributes app, detector, phase and group. Of a FIFO topic the episodes of a detector and key are a group, and a message that
// comes again within five minutes is passed over.
func (t *Topic) Send(ctx context.Context, a *alert.Alert) error {
	message, err := json.Marshal(map[string]string{"default": string(a.Body()), "email": a.Text(), "sms": a.Subject()})
	if err != nil {
		return alert.Refused{Err: err}
	}
	in := &sns.PublishInput{
		TopicArn: &t.arn, Subject: aws.String(a.Subject()), Message: aws.String(string(message)), MessageStructure: aws.String("json"),
		MessageAttributes: map[string]types.MessageAttributeValue{},
	}
	for name, value := range map[string]string{"app": a.App, "detector": a.Detector, "phase": a.Phase, "group": a.Group} {
		if value != "" { // SNS refuses an empty one
			in.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
		}
	}
	if strings.HasSuffix(t.arn, ".fifo") {
		group := a.Group
		if group == "" {
			group = a.Phase
		}
		in.MessageGroupId = &group
		in.MessageDeduplicationId = aws.String(a.ID + "-" + strconv.Itoa(a.Sequence))
	}
	_, err = t.client.Publish(ctx, in)
	if err == nil {
		return nil
	}
	var missing *types.NotFoundException
	var invalid *types.InvalidParameterException
	if err = fmt.Errorf("publish to %s: %w", t.arn, err); errors.As(err, &invalid) {
		return alert.Refused{Err: err}
	} else if errors.As(err, &missing) || config.Class(err) == config.Denied {
		// Somebody may put it right meanwhile.
		return fmt.Errorf("%w; the topic must exist, and the process needs sns:Publish on it", err)
	}
	return err
}
