"use strict";

// What comes from outside is only ever made a text node: nothing here is parsed as HTML.
const chart = JSON.parse(document.getElementById("data").textContent);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const plots = { values: { height: 360, make: values }, alerts: { height: 220, make: alerts } };

function element(name, text, className) {
	const e = document.createElement(name);
	if (text !== undefined) e.textContent = text;
	if (className) e.className = className;
	return e;
}

function colour(name) {
	return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function axis(more) {
	return { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") }, ...more };
}

// clock writes times, which are a step apart, and the day where it is another one.
function clock(u, list, axis, space, step) {
	let before;
	return list.map((s) => {
		const [day, time] = new Date(s * 1000).toISOString().split("T"), another = day !== before;
		before = day;
		return step >= 86400 ? day : time.slice(0, step < 1 ? 12 : step < 60 ? 8 : 5) + (another ? "\n" + day : "");
	});
}

// values is the chart of values by time. A stretch that is drawn over with the pointer fills the chart; two clicks show all again.
function values(size) {
	const right = (u) => {
		u.ctx.fillStyle = colour("--right");
		for (const [from, to] of chart.right) {
			const x = Math.max(u.valToPos(from, "x", true), u.bbox.left), end = Math.min(u.valToPos(to, "x", true), u.bbox.left + u.bbox.width);
			if (end >= x) u.ctx.fillRect(x, u.bbox.top, end - x + 1, u.bbox.height);
		}
	};
	return [{
		...size, tzDate: (s) => uPlot.tzDate(new Date(s * 1000), "Etc/UTC"), cursor: { drag: { x: true, y: false } }, axes: [axis({ values: clock }), axis({ size: 80 })],
		hooks: { drawClear: [right] }, bands: [{ series: [3, 2], fill: colour("--band") }],
		series: [
			{ label: "UTC", value: "{YYYY}-{MM}-{DD} {HH}:{mm}:{ss}" },
			{ label: chart.value, stroke: colour("--accent"), width: 1 },
			{ label: "in order from", stroke: colour("--edge"), width: 1, points: { show: false } },
			{ label: "to", stroke: colour("--edge"), width: 1, points: { show: false } },
			{ label: "flagged", stroke: colour("--bad"), paths: () => null, points: { show: true, size: 7, fill: colour("--bad") } },
		],
	}, [chart.at, chart.values, chart.lower, chart.upper, chart.flagged]];
}

// alerts is the chart of alerts by threshold, on an axis that is logarithmic and begins at none.
function alerts(size) {
	const places = chart.thresholds.map((_, i) => i), plus = (list) => list.map((n) => Math.log10(n + 1));
	const counted = (label, list, ink) => ({ label, stroke: colour(ink), width: 2, value: (u, _, s, i) => (i === null ? "" : whole.format(list[i])) });
	const series = [{ label: "threshold", value: (u, _, s, i) => (i === null ? "" : chart.thresholds[i]) }], lists = [places];
	if (chart.flags) {
		series.push(counted("flagged rows", chart.flags, "--soft"));
		lists.push(plus(chart.flags));
	}
	series.push(counted("alerts", chart.alerts, "--accent"));
	lists.push(plus(chart.alerts));
	series.push({ label: "configured", stroke: colour("--bad"), paths: () => null, points: { show: true, size: 9, fill: colour("--bad") }, value: () => chart.thresholds[chart.chosen] });
	lists.push(places.map((i) => (i === chart.chosen ? Math.log10(chart.alerts[i] + 1) : null)));
	const counts = [0, ...Array.from({ length: 19 }, (_, n) => 10 ** n)];
	return [{
		...size, cursor: { drag: { x: false, y: false } },
		scales: { x: { time: false, range: [-0.5, places.length - 0.5] }, y: { range: (u, low, high) => [0, Math.max(1, high) * 1.05] } },
		axes: [
			axis({ splits: () => places, values: (u, list) => list.map((i) => chart.thresholds[i]) }),
			axis({ size: 80, splits: (u, i, low, high) => plus(counts).filter((y) => y <= high), values: (u, list) => list.map((y, i) => whole.format(counts[i])) }),
		],
		series,
	}, lists];
}

// zoom shows another stretch of the time: a part of the present one, moved by a share of it; without a part, all.
function zoom(part, share) {
	const plot = plots.values.plot, { min, max } = plot.scales.x, from = chart.at[0], to = chart.at[chart.at.length - 1];
	const middle = (min + max) / 2 + share * (max - min), half = (part * (max - min)) / 2;
	plot.setScale("x", part ? { min: middle - half, max: middle + half } : { min: from, max: to });
}

function table(caption, heads, rows) {
	const t = element("table"), head = t.createTHead().insertRow(), body = t.createTBody();
	t.createCaption().textContent = caption;
	heads.forEach((text, i) => {
		const th = element("th", text, typeof rows[0]?.[i] === "number" && "number");
		th.scope = "col";
		head.append(th);
	});
	rows.forEach((cells) => {
		const tr = body.insertRow();
		tr.className = cells.chosen ? "chosen" : "";
		for (const cell of cells) {
			const number = typeof cell === "number", td = tr.insertCell();
			td.className = number ? "number" : "";
			td.append(number ? String(cell) : element("bdi", cell));
		}
	});
	const wide = element("div", undefined, "wide");
	wide.tabIndex = 0; // to be scrolled by the keyboard
	wide.append(t);
	return wide;
}

function draw() {
	for (const p of Object.values(plots)) {
		p.plot?.destroy();
		const [options, data] = p.make({ width: p.figure.clientWidth, height: p.height });
		p.plot = new uPlot(options, data, p.figure);
	}
}

const main = document.querySelector("main"), buttons = element("p");
main.append(element("h1", chart.title));
for (const [name, label] of [["values", chart.value + " by time"], ["alerts", "alerts by threshold"]]) {
	plots[name].figure = element("figure");
	plots[name].figure.setAttribute("aria-label", label);
}
for (const [text, part, share] of [["Closer", 0.5, 0], ["Farther", 2, 0], ["Earlier", 1, -0.5], ["Later", 1, 0.5], ["All", 0, 0]]) {
	const b = element("button", text);
	b.addEventListener("click", () => zoom(part, share));
	buttons.append(b, " ");
}
buttons.append(element("span", "or draw over a stretch with the pointer; two clicks show all.", "soft"));
if (chart.at.length) {
	main.append(plots.values.figure, buttons);
} else {
	delete plots.values;
	main.append(element("p", "Nothing was judged."));
}
main.append(plots.alerts.figure, table("By threshold; the configured one is marked", ["Threshold", ...(chart.flags ? ["Flagged rows"] : []), "Alerts"],
	chart.thresholds.map((threshold, i) => Object.assign([threshold, ...(chart.flags ? [chart.flags[i]] : []), chart.alerts[i]], { chosen: i === chart.chosen }))));
if (chart.keys.length) main.append(table("Flagged most", ["Key", "Flagged", "Highest score", "At", "Reason"], chart.keys.map((k) => [k.key, k.count, Number(k.score.toFixed(6)), k.at, k.reason])));
draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
addEventListener("resize", () => Object.values(plots).forEach((p) => p.plot.setSize({ width: p.figure.clientWidth, height: p.height })));
