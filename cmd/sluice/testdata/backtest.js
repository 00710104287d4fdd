"use strict";

// Walks over pages of a backtest in a browser, and fails at the first thing that is not as it should be. Its one argument is JSON:
// pages are addresses by names, shots is a folder for a picture or empty.
const assert = require("node:assert/strict");
const path = require("node:path");
const { chromium } = require("playwright-core");

const { pages, browser: executablePath, shots } = JSON.parse(process.argv[2]);

async function open(browser, name, options) {
	const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
	const page = await context.newPage();
	page.faults = [];
	page.on("request", (r) => r.url() === pages[name] || page.faults.push("a request to " + r.url()));
	page.on("pageerror", (e) => page.faults.push("an error: " + e.message));
	page.on("console", (m) => /^Canvas2D: Multiple readback/.test(m.text()) || page.faults.push(m.text())); // that is about this walk
	page.on("dialog", (d) => { page.faults.push("a dialog: " + d.message()); d.dismiss(); });
	await page.addInitScript(() => {
		window.violations = [];
		document.addEventListener("securitypolicyviolation", (e) => window.violations.push(e.violatedDirective));
	});
	await page.goto(pages[name]);
	return page;
}

async function done(page) {
	assert.deepEqual(page.faults, []);
	assert.deepEqual(await page.evaluate(() => window.violations), []);
	assert.equal(await page.evaluate(() => window.stolen), undefined, "a script of a key ran");
	await page.context().close();
}

// drawn tells how many points of each chart have about a colour of the page: lines are thin, and their edges soft.
const drawn = (page, colour) => page.evaluate((colour) => new Promise((resolve) => requestAnimationFrame(() => {
	const [r, g, b] = getComputedStyle(document.documentElement).getPropertyValue(colour).match(/[0-9a-f]{2}/g).map((x) => parseInt(x, 16));
	resolve([...document.querySelectorAll("main canvas")].map((c) => {
		const p = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
		let n = 0;
		for (let i = 0; i < p.length; i += 4) if (p[i + 3] > 127 && Math.abs(p[i] - r) + Math.abs(p[i + 1] - g) + Math.abs(p[i + 2] - b) < 60) n++;
		return n;
	}));
})), colour);

const shown = (page) => page.evaluate(() => { const { min, max } = plots.values.plot.scales.x; return [min, max]; });

async function zoom(browser) {
	const page = await open(browser, "example");
	const whole = await shown(page);
	const flags = (await page.evaluate(() => chart.at.filter((_, i) => chart.flagged[i] !== null)));
	assert.equal(flags.length, 1);
	const box = await page.locator(".u-over").first().boundingBox();
	const middle = box.x + (box.width * (flags[0] - whole[0])) / (whole[1] - whole[0]);
	await page.mouse.move(middle - 40, box.y + 50);
	await page.mouse.down();
	await page.mouse.move(middle + 40, box.y + 60, { steps: 5 });
	await page.mouse.up();
	const part = await shown(page);
	assert.ok(part[0] < flags[0] && flags[0] < part[1], `${part} is shown, and not ${flags[0]}`);
	const share = (part[1] - part[0]) / (whole[1] - whole[0]), want = 80 / box.width;
	assert.ok(Math.abs(share - want) < want / 10, `${share} of the time is shown; want ${want}`);
	assert.ok((await drawn(page, "--bad"))[0] > 20, "the flag is not seen");
	if (shots) await page.screenshot({ path: path.join(shots, "backtest-html.png") });
	await page.locator(".u-over").first().dblclick();
	assert.deepEqual(await shown(page), whole);
	// And by the keyboard.
	const [from, to] = whole, quarter = (to - from) / 4;
	for (const [button, want] of [["Closer", [from + quarter, to - quarter]], ["Later", [from + 2 * quarter, to]], ["Earlier", [from + quarter, to - quarter]], ["Farther", whole], ["Closer", [from + quarter, to - quarter]], ["All", whole]]) {
		await page.getByRole("button", { name: button }).focus();
		await page.keyboard.press("Enter");
		assert.ok((await shown(page)).every((x, i) => Math.abs(x - want[i]) < 1), `${button}: ${await shown(page)}; want ${want}`);
	}
	// What is under the pointer is told.
	await page.mouse.move(middle, box.y + 50);
	assert.match(await page.textContent(".u-legend"), /UTC\s*2026-03-01 1[67]:\d\d:\d\d/);
	assert.equal(await page.textContent("tr.chosen"), "0.211"); // threshold, flagged rows, alerts
	await done(page);
}

async function colours(browser) {
	for (const colorScheme of ["light", "dark"]) {
		const page = await open(browser, "example", { colorScheme });
		const { background, least } = await page.evaluate(() => {
			const of = (c) => { const [r, g, b] = c.match(/[\d.]+/g).map((x) => { x /= 255; return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
			const ground = of(getComputedStyle(document.body).backgroundColor);
			const contrast = (e) => { const [a, b] = [of(getComputedStyle(e).color), ground].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05); };
			return { background: ground, least: Math.min(...["h1", ".soft", "button", "caption", "td", ".chosen td", ".u-legend th", "summary"].map((s) => contrast(document.querySelector(s)))) };
		});
		assert.ok(colorScheme === "dark" ? background < 0.1 : background > 0.9, `${colorScheme}: the background's luminance is ${background}`);
		assert.ok(least >= 4.5, `${colorScheme}: a contrast of ${least}; WCAG asks for 4.5`);
		for (const colour of ["--accent", "--bad"]) {
			const n = await drawn(page, colour);
			assert.ok(n.every((n) => n > 10), `${colorScheme}: of the charts' points ${n} have the colour ${colour}`);
		}
		// The other scheme while the page is open.
		await page.emulateMedia({ colorScheme: colorScheme === "dark" ? "light" : "dark" });
		const deadline = Date.now() + 10000; // the page hears of it when the browser next draws
		while (!(await drawn(page, "--accent")).every((n) => n > 10)) assert.ok(Date.now() < deadline, "a change of colours is not drawn");
		await done(page);
	}
}

async function phone(browser) {
	for (const name of ["example", "hostile"]) {
		const page = await open(browser, name, { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
		const wide = await page.evaluate(() => document.documentElement.scrollWidth);
		assert.ok(wide <= 360, `the page ${name} is ${wide} wide on a screen of 360`);
		await done(page);
	}
}

async function hostile(browser) {
	const page = await open(browser, "hostile");
	assert.match(await page.textContent("main"), /<\/script><script>window\.stolen=1/);
	assert.match(await page.textContent("h1"), /<img src=x/);
	assert.match(await page.title(), /<img src=x/);
	assert.equal(await page.locator("main img, main script, main svg").count(), 0, "a key was parsed");
	assert.ok(await page.locator("td bdi").count() >= 9, "a key may change the direction of what is around it");
	await page.waitForTimeout(500); // what would have run
	await done(page);
}

async function few(browser) {
	for (const [name, charts] of [["none", 1], ["one", 2], ["extreme", 2]]) {
		const page = await open(browser, name);
		assert.equal(await page.locator("main canvas").count(), charts, name);
		const n = await drawn(page, "--accent");
		assert.ok(n[charts - 1] > 10, `${name}: nothing is drawn: ${n}`);
		if (name === "one") assert.ok(n[0] >= 1, "one value is not seen");
		await done(page);
	}
}

(async () => {
	const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
	try {
		for (const [name, step] of Object.entries({ zoom, colours, phone, hostile, few })) {
			await step(browser);
			console.log("ok", name);
		}
	} finally {
		await browser.close();
	}
})().catch((e) => { console.error(e); process.exitCode = 1; });
