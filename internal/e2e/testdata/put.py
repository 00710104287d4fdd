"""Puts records as a producer of Firehose does, until each is acknowledged.

put.py ENDPOINT STREAM COUNT writes a line to standard output for each acknowledged record: its id, a space, its data. Keys
and region are boto3's own, and so are the retries within a call.
"""

import sys
import time

import boto3
from botocore.exceptions import BotoCoreError, ClientError

endpoint, stream, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = boto3.client("firehose", endpoint_url=endpoint)


def put(records):
    """Gives the id of each record, or None where it is not acknowledged.

    To a boto3 over urllib3 1.26, an answer whose connection was cut in its middle is one without members.
    """
    try:
        if len(records) == 1:
            answer = client.put_record(DeliveryStreamName=stream, Record={"Data": records[0]})
            return [answer.get("RecordId")]
        answer = client.put_record_batch(DeliveryStreamName=stream, Records=[{"Data": r} for r in records])
        if "RequestResponses" not in answer:
            return [None] * len(records)
        ids = [r.get("RecordId") for r in answer["RequestResponses"]]
        if ids.count(None) != answer["FailedPutCount"]:
            sys.exit(f"FailedPutCount is {answer['FailedPutCount']} where {ids.count(None)} records have no id")
        return ids
    except ClientError as e:
        if e.response["Error"]["Code"] != "ServiceUnavailableException":
            raise
        return [None] * len(records)
    except BotoCoreError:  # the connection failed, and so did boto3's own attempts
        return [None] * len(records)


waiting = [b'{"id":"boto3-%d","n":%d}\n' % (n, n) for n in range(count)]
size = 1
while waiting:
    records, waiting = waiting[:size], waiting[size:]
    size = 100 if size == 1 else 1  # one record and a batch in turn
    ids = put(records)
    for record_id, data in zip(ids, records):
        if record_id is None:
            waiting.append(data)
        else:
            sys.stdout.write(f"{record_id} {data.decode()}")
    sys.stdout.flush()
    if None in ids:
        time.sleep(0.2)
