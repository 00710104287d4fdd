"use strict";

// Does at the page of the Kinesis Data Generator what somebody does there: signs in, or tells the page at the browser's console what
// it would know then; chooses the delivery stream, writes a template, and lets the page send until it says that so many are sent. Its
// one argument is JSON: page, its address; host, at which every host is found; console, what is typed there, if anything; stream,
// template, rate, count, browser. It writes how many records the page says that it sent, once all of them are answered.
const { chromium } = require("playwright-core");

const { page: address, host, console: typed, stream, template, rate, count, browser: executablePath } = JSON.parse(process.argv[2]);

async function send() {
	const browser = await chromium.launch({
		executablePath,
		args: ["--no-sandbox", "--disable-dev-shm-usage", "--ignore-certificate-errors", `--host-resolver-rules=MAP * ${host}`],
	});
	try {
		const page = await browser.newPage();
		let acknowledged = 0;
		page.on("pageerror", console.error);
		page.on("console", async (message) => { // the page logs each answer and each error
			const answer = await message.args()[0]?.jsonValue();
			if (answer?.RequestResponses) acknowledged += answer.RequestResponses.length - answer.FailedPutCount;
			else console.error(message.text());
		});
		await page.goto(address);
		if (typed) {
			await page.evaluate(typed);
		} else {
			await page.fill("#userName", "somebody");
			await page.fill("#password", "something");
			await page.click("#btnLogin");
		}
		await page.selectOption("#streamName", stream);
		await page.fill("#putRate", `${rate}`);
		await page.fill("#recordTemplate", template);
		await page.click("#btnCreateData");
		await page.waitForFunction((count) => parseInt($("#recordsSentMessage").text()) >= count, count);
		const sent = await page.evaluate(() => { // at once, lest it send between the two
			const said = parseInt($("#recordsSentMessage").text());
			$("#btnCancelSendData").click();
			return said;
		});
		for (const end = Date.now() + 30_000; acknowledged < sent; await page.waitForTimeout(100)) {
			if (Date.now() > end) throw new Error(`the page says that it sent ${sent} records; ${acknowledged} are acknowledged`);
		}
		console.log(sent);
	} finally {
		await browser.close();
	}
}

send().catch((e) => {
	console.error(e);
	process.exitCode = 1;
});
