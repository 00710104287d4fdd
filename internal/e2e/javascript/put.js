"use strict";

// Puts records as JavaScript does: by the SDK's version 3 in node, and by version 2 in a browser, from a page of another origin,
// as the Kinesis Data Generator does. Its one argument is JSON: endpoint, region, id and secret of a key, stream, browser, count. It
// writes a line for each acknowledged record: its id, a space, its data.
const assert = require("node:assert/strict");
const fs = require("node:fs");
const http = require("node:http");
const { FirehoseClient, DescribeDeliveryStreamCommand, ListDeliveryStreamsCommand, PutRecordCommand, PutRecordBatchCommand } = require("@aws-sdk/client-firehose");
const { chromium } = require("playwright-core");

const { endpoint, region, id, secret, stream, browser: executablePath, count } = JSON.parse(process.argv[2]);
const lines = (by) => Array.from({ length: count }, (_, n) => `{"id":"${by}-${n}","n":${n}}\n`);

function acknowledged(answer, records) {
	assert.equal(answer.FailedPutCount, 0);
	assert.equal(answer.RequestResponses.length, records.length);
	records.forEach((r, n) => process.stdout.write(`${answer.RequestResponses[n].RecordId} ${r}`));
}

async function node() {
	const client = new FirehoseClient({ endpoint, region, credentials: { accessKeyId: id, secretAccessKey: secret } });
	assert.deepEqual((await client.send(new ListDeliveryStreamsCommand({}))).DeliveryStreamNames, [stream]);
	const described = await client.send(new DescribeDeliveryStreamCommand({ DeliveryStreamName: stream }));
	assert.equal(described.DeliveryStreamDescription.DeliveryStreamStatus, "ACTIVE");
	const [first, ...others] = lines("node");
	const answer = await client.send(new PutRecordCommand({ DeliveryStreamName: stream, Record: { Data: Buffer.from(first) } }));
	process.stdout.write(`${answer.RecordId} ${first}`);
	acknowledged(await client.send(new PutRecordBatchCommand({ DeliveryStreamName: stream, Records: others.map((r) => ({ Data: Buffer.from(r) })) })), others);
	const stranger = new FirehoseClient({ endpoint, region, credentials: { accessKeyId: id, secretAccessKey: secret + "x" } });
	await assert.rejects(stranger.send(new ListDeliveryStreamsCommand({})), { name: "InvalidSignatureException" });
}

// inPage runs in the browser.
async function inPage({ endpoint, region, id, secret, stream, records }) {
	AWS.config.update({ region, credentials: new AWS.Credentials(id, secret), firehose: { endpoint } });
	const firehose = new AWS.Firehose();
	const listed = await firehose.listDeliveryStreams({ Limit: 100 }).promise();
	const put = await firehose.putRecordBatch({ DeliveryStreamName: stream, Records: records.map((Data) => ({ Data })) }).promise();
	const refused = await new AWS.Firehose({ credentials: new AWS.Credentials(id, secret + "x") }).listDeliveryStreams().promise().then(() => "taken", (e) => e.code);
	return { names: listed.DeliveryStreamNames, put, refused, origin: location.origin };
}

async function page() {
	const sdk = fs.readFileSync(require.resolve("aws-sdk/dist/aws-sdk.min.js"));
	const site = http.createServer((request, response) => {
		const script = request.url === "/aws-sdk.js";
		response.writeHead(200, { "Content-Type": script ? "text/javascript" : "text/html; charset=utf-8" });
		response.end(script ? sdk : '<!doctype html><title>a producer</title><script src="/aws-sdk.js"></script>');
	});
	await new Promise((done) => site.listen(0, "127.0.0.1", done));
	const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
	try {
		const page = await browser.newPage();
		await page.goto(`http://127.0.0.1:${site.address().port}/`);
		const records = lines("browser");
		const { names, put, refused, origin } = await page.evaluate(inPage, { endpoint, region, id, secret, stream, records });
		assert.notEqual(origin, new URL(endpoint).origin);
		assert.deepEqual(names, [stream]);
		assert.equal(refused, "InvalidSignatureException");
		acknowledged(put, records);
	} finally {
		await browser.close();
		site.close();
	}
}

node().then(page).catch((e) => {
	console.error(e);
	process.exitCode = 1;
});
