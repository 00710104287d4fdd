"use strict";

// Walks over the status page in a browser, and fails at the first thing that is not as it should be. Its one argument is JSON:
// page and control are addresses, shots is a folder for pictures or empty. The control address makes the service do things.
const assert = require("node:assert/strict");
const path = require("node:path");
const { chromium } = require("playwright-core");

const { page: address, control, browser: executablePath, shots } = JSON.parse(process.argv[2]);
const order = async (what) => assert.equal((await fetch(control + what, { method: "POST" })).status, 200, what);
const patience = { timeout: 30000 };

async function open(browser, options) {
	const context = await browser.newContext({ viewport: { width: 1280, height: 1400 }, ...options });
	const page = await context.newPage();
	page.faults = [];
	page.on("request", (r) => new URL(r.url()).origin === address || page.faults.push("a request to " + r.url()));
	page.on("pageerror", (e) => page.faults.push("an error: " + e.message));
	page.on("console", (m) => /Content Security Policy/.test(m.text()) && page.faults.push(m.text()));
	page.on("dialog", (d) => { page.faults.push("a dialog: " + d.message()); d.dismiss(); });
	await page.addInitScript(() => {
		window.violations = [];
		document.addEventListener("securitypolicyviolation", (e) => window.violations.push(e.violatedDirective));
	});
	await page.goto(address + "/");
	await page.waitForSelector("#connection.live", patience);
	return page;
}

async function inOrder(page) {
	assert.deepEqual(page.faults, []);
	assert.deepEqual(await page.evaluate(() => window.violations), []);
	assert.equal(await page.evaluate(() => window.stolen), undefined, "a script of a key ran");
}

const figure = (page, name) => page.$$eval("#figures div", (all, name) => all.find((d) => d.firstChild.textContent === name).lastChild.textContent, name);

async function content(page) {
	assert.match(await page.textContent("h1"), /^sluice v1\.2\.3/);
	assert.match(await page.textContent("#ready"), /Ready/);
	assert.match(await page.textContent("#shards"), /shardId-000000000000.*worker-a \(this process\)/);
	assert.match(await page.textContent("#shards"), /shardId-000000000001worker-b/);
	assert.match(await page.textContent("#detectors"), /source_rate.*0\.999 SLUICE_ANOMALY_SOURCE_RATE_THRESHOLD \(env\)/);
	assert.equal(await page.$$eval("#charts canvas", (all) => all.length), 4);
	assert.match(await page.textContent("#settings"), /SLUICE_ANOMALY_SOURCE_RATE_THRESHOLD/);
	// A chart has drawn something: more colours than its axes have.
	assert.ok(await page.$eval("#charts canvas", (c) => {
		const pixels = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
		return pixels.some((x) => x !== 0);
	}), "the chart is empty");
}

async function live(page) {
	const before = await figure(page, "Records received");
	await page.waitForFunction((before) => document.querySelector("#figures dd").textContent !== before, before, patience);
}

async function connectionLost(page) {
	await order("/down");
	await page.waitForSelector("#connection.lost", patience);
	assert.match(await page.textContent("#connection"), /old/);
	await order("/up");
	await page.waitForSelector("#connection.live", patience);
	await live(page);
	page.faults = page.faults.filter((f) => !/ERR_CONNECTION/.test(f));
}

async function many(page) {
	await order("/flood");
	await page.waitForFunction(() => /of 10,\d{3} flags/.test(document.querySelector("#abnormal-note").textContent), null, patience);
	assert.equal(await page.$$eval("#abnormal tr", (all) => all.length), 100);
	await live(page);
}

async function hostile(page) {
	await order("/hostile");
	await page.waitForFunction(() => document.querySelector("#abnormal").textContent.includes("</script>"), null, patience);
	assert.equal(await page.$$eval("#abnormal img, #abnormal script", (all) => all.length), 0, "a key was parsed");
	assert.ok(await page.$$eval("#abnormal tr:first-child bdi", (all) => all.length >= 2), "a key changes the direction of what is around it");
	await live(page); // what would have run has had a second
	await inOrder(page);
}

async function keyboard(page) {
	await page.goto(address + "/");
	await page.waitForSelector("#connection.live", patience);
	const seen = [];
	for (let i = 0; i < 12; i++) {
		await page.keyboard.press("Tab");
		const at = await page.evaluate(() => {
			const e = document.activeElement;
			const style = getComputedStyle(e);
			return { text: e.textContent.trim().slice(0, 40), outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2, top: e === document.body };
		});
		if (at.top) break;
		assert.ok(at.outline, "the focus is not seen on " + at.text);
		seen.push(at.text);
	}
	assert.equal(seen[0], "Skip to the figures");
	for (const want of ["metrics", "health", "readiness", "Every setting, by the name that sets it", "uPlot"]) assert.ok(seen.includes(want), `the keyboard does not reach ${want}: ${seen}`);
	await page.focus("summary");
	await page.keyboard.press("Enter");
	assert.ok(await page.$eval("details", (d) => d.open), "the settings do not open by the keyboard");
	await page.focus(".skip");
	await page.keyboard.press("Enter");
	assert.equal(await page.evaluate(() => document.activeElement.id), "main");
	assert.deepEqual(await page.$$eval("table", (all) => all.filter((t) => !t.getAttribute("aria-labelledby") || !t.querySelector("th[scope=col]")).length), 0);
}

async function phone(browser) {
	const page = await open(browser, { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
	await page.click("summary");
	const [wide, room, over] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth,
		[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > 361).map((e) => e.tagName + " " + e.textContent.slice(0, 40))]);
	assert.ok(wide <= 360 && room === 360, `the page is ${wide} wide on a screen of ${room}: ${over}`);
	assert.deepEqual(over, []);
	await page.click("summary");
	await picture(page, "phone");
	await inOrder(page);
	await page.context().close();
}

async function picture(page, name) {
	if (!shots) return;
	await page.evaluate(() => scrollTo(0, 0));
	await page.screenshot({ path: path.join(shots, `status-${name}.png`) });
}

async function colours(browser) {
	const luminance = (page) => page.evaluate(() => {
		const of = (c) => { const [r, g, b] = c.match(/[\d.]+/g).map((x) => { x /= 255; return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
		const contrast = (e) => { const [a, b] = [of(getComputedStyle(e).color), of(getComputedStyle(document.body).backgroundColor)].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05); };
		return { background: of(getComputedStyle(document.body).backgroundColor), least: Math.min(...["body", "a[href='/metrics']", "#about", "#connection", "#ready p"].map((s) => contrast(document.querySelector(s)))) };
	});
	for (const colorScheme of ["light", "dark"]) {
		const page = await open(browser, { colorScheme });
		await live(page);
		const { background, least } = await luminance(page);
		assert.ok(colorScheme === "dark" ? background < 0.1 : background > 0.9, `${colorScheme}: the background's luminance is ${background}`);
		assert.ok(least >= 4.5, `${colorScheme}: a contrast of ${least}; WCAG asks for 4.5`);
		await picture(page, colorScheme);
		await inOrder(page);
		await page.context().close();
	}
}

(async () => {
	const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
	try {
		// First, as a server that was down has forgotten what the pictures show.
		await colours(browser);
		await phone(browser);
		console.log("ok colours, phone");
		const page = await open(browser);
		for (const [name, step] of Object.entries({ content, live, keyboard, connectionLost })) {
			await step(page);
			console.log("ok", name);
		}
		await inOrder(page);
		await many(page);
		await hostile(page);
		console.log("ok many, hostile");
	} finally {
		await browser.close();
	}
})().catch((e) => { console.error(e); process.exitCode = 1; });
