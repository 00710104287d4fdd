"use strict";

// What comes from outside is only ever made a text node: nothing here is parsed as HTML.
const $ = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const number = (x, format = short) => (x === null || x === undefined ? "–" : format.format(x));
const percent = (x) => (x === null || x === undefined ? "–" : short.format(100 * x) + " %");
const clock = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ") + " UTC";

function size(bytes) {
	for (const unit of ["B", "KiB", "MiB"]) {
		if (bytes < 1024) return short.format(bytes) + " " + unit;
		bytes /= 1024;
	}
	return short.format(bytes) + " GiB";
}

function ago(seconds) {
	if (seconds < 60) return short.format(seconds) + " s";
	if (seconds < 3600) return Math.floor(seconds / 60) + " min " + Math.floor(seconds % 60) + " s";
	return Math.floor(seconds / 3600) + " h " + Math.floor((seconds % 3600) / 60) + " min";
}

function element(name, text, className) {
	const e = document.createElement(name);
	if (text !== undefined) e.textContent = text;
	if (className) e.className = className;
	return e;
}

// A value of somebody's keeps its direction of writing to itself.
const foreign = (text) => element("bdi", text);

// setting shows a value with the name in the environment that sets it.
function setting(s) {
	const e = element("span", s.value + " ");
	e.append(element("code", s.name), element("span", " (" + s.source + ")", "soft"));
	return e;
}

// rows fills the body of a table. Each cell is a text or an element; a number has the class of one.
function rows(body, list) {
	const labels = [...body.parentElement.tHead.rows[0].cells].map((c) => c.textContent.trim());
	body.replaceChildren(...list.map((cells) => row(labels, cells)));
}

function row(labels, cells) {
	const tr = element("tr");
	cells.forEach((cell, i) => {
		const td = element("td");
		td.dataset.label = labels[i];
		td.append(cell);
		tr.append(td);
	});
	return tr;
}

// The charts, each of one member of a point.
const kept = 15 * 60;
const charts = [
	{ member: "rate", title: "Records per second", show: number },
	{ member: "lag", title: "Lag of the slowest shard, seconds", show: number },
	{ member: "commits", title: "Commits per second", show: number },
	{ member: "share", title: "Flags per committed row, over a minute", show: percent },
];
let points = [];

function colour(name) {
	return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function makeCharts() {
	// All figures stand before the first plot, as their number decides how wide each is.
	for (const c of charts) {
		if (!c.figure) {
			c.figure = element("figure");
			const caption = element("figcaption");
			c.now = element("output");
			c.now.setAttribute("aria-live", "off");
			caption.append(element("span", c.title), c.now);
			c.place = element("div");
			c.place.setAttribute("aria-hidden", "true"); // the figure beside its title says the newest value
			c.figure.append(caption, c.place);
			$("charts").append(c.figure);
		}
	}
	for (const c of charts) {
		c.plot?.destroy();
		const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
		c.plot = new uPlot({
			width: c.figure.clientWidth, height: 160, legend: { show: false }, cursor: { show: false },
			scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high ?? 0) > 0 ? high * 1.1 : 1] } },
			axes: [axis, { ...axis, size: 56 }],
			series: [{}, { stroke: colour("--accent"), width: 1.5, spanGaps: false }],
		}, [[], []], c.place);
	}
	draw();
}

function draw() {
	const at = points.map((p) => p.t);
	for (const c of charts) {
		c.plot.setData([at, points.map((p) => p[c.member])]);
		c.now.value = points.length ? c.show(points[points.length - 1][c.member]) : "–";
	}
}

let about = null; // the last event "all"
let abnormal = [];

function showState(s) {
	$("about").textContent = `${about.stream}, as ${about.worker}, up for ${ago(s.up)}`;
	if (s.waiting.length) {
		const list = element("ul");
		for (const w of s.waiting) list.append(element("li", `${w.what}: ${w.reason} (since ${clock(Date.parse(w.since))})`));
		$("ready").replaceChildren(element("p", "Not ready", "bad"), list);
	} else {
		$("ready").replaceChildren(element("p", "Ready", "good"));
	}
	const figures = {
		"Records received": number(s.received, whole), "Received": size(s.bytes), "Rows committed": number(s.rows, whole),
		"Records rejected": number(s.rejected, whole), "Flags of detectors": number(s.flags, whole), "Commits": number(s.commits, whole),
		"Not committed yet": size(s.buffered),
	};
	$("figures").replaceChildren(...Object.entries(figures).map(([name, value]) => {
		const div = element("div");
		div.append(element("dt", name), element("dd", value));
		return div;
	}));
	$("shards-note").textContent = s.all_shards > s.shards.length ? `${s.shards.length} of ${s.all_shards}` : "";
	rows($("shards"), s.shards.map((h) => [
		foreign(h.shard), h.here ? foreign(h.owner + " (this process)") : h.owner ? foreign(h.owner) : "nobody",
		h.lag !== null ? number(h.lag) + " s" : h.here ? "not read yet" : "–",
		h.committed ? ago(Math.max(0, Math.round((s.now - h.committed) / 1000))) + " ago" : h.here ? "none yet" : "–",
	]));
	rows($("detectors"), about.detectors.map((d) => [
		element("span", d.name, "name"), `${d.kind}${d.metric ? " of " + d.metric : ""}${d.key ? " by " + d.key : ""}`, setting(d.threshold), setting(d.min_count),
		number(s.flagged[d.name], whole), number(s.keys[d.name], whole),
	]));
}

function showAbnormal(total) {
	$("abnormal-note").textContent = !about.detectors.length ? "No detector is configured: see SLUICE_ANOMALY_DETECTORS." :
		`${abnormal.length} rows are shown, of ${whole.format(total)} flags.` + (about.keys_shown ? "" : " Keys are not shown (SLUICE_STATUS_KEYS).");
	rows($("abnormal"), [...abnormal].reverse().map((a) => [
		element("span", clock(a.arrival), "number"), element("span", a.detectors, "name"), a.key ? foreign(a.key) : "–", number(a.score), number(a.expected),
		a.lower === undefined ? "–" : `${number(a.lower)} to ${number(a.upper)}`, foreign(a.reason),
	]));
}

// Lost connections. A browser connects again by itself after most faults, and gives up after an answer other than 200.
let source, watch, retry;

function connection(className, text) {
	const e = $("connection");
	if (e.textContent !== text) e.textContent = text; // a screen reader is told of changes alone
	e.className = className;
}

function lost() {
	connection("lost", "Connection lost: these figures are old. Trying again");
	if (source.readyState === EventSource.CLOSED) {
		clearTimeout(retry);
		retry = setTimeout(connect, 2000);
	}
}

function alive() {
	connection("live", "Live");
	clearTimeout(watch);
	watch = setTimeout(() => { // a connection may end without anybody telling
		source.close();
		lost();
	}, 10000);
}

function connect() {
	source?.close();
	source = new EventSource("/events");
	source.onerror = lost;
	source.addEventListener("all", (e) => {
		about = JSON.parse(e.data);
		points = about.points;
		abnormal = about.abnormal;
		$("version").textContent = `${about.version} (${about.commit}, ${about.go})`;
		rows($("settings"), about.settings.map((s) => [element("code", s.name), foreign(s.value || "–"), s.source]));
		draw();
		showState(about.state);
		showAbnormal(about.state.flags);
		alive();
	});
	source.addEventListener("tick", (e) => {
		const s = JSON.parse(e.data);
		points.push(s.point);
		points.splice(0, points.length - kept);
		draw();
		showState(s);
		if (s.abnormal.length) {
			const last = abnormal.at(-1)?.number ?? 0; // some may have come with the event "all" already
			abnormal.push(...s.abnormal.filter((a) => a.number > last));
			abnormal.splice(0, abnormal.length - about.abnormal_kept);
			showAbnormal(s.flags);
		}
		alive();
	});
}

makeCharts();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", makeCharts);
addEventListener("resize", () => charts.forEach((c) => c.plot.setSize({ width: c.figure.clientWidth, height: 160 })));
connect();
