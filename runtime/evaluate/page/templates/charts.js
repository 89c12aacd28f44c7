// Lines with bands, dots with whiskers, and the margins of braking runs.
const left = { figure: 46, forest: 180 };
const hiddenNames = new Set();

function scale(low, high, from, to) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

function yAxis(svg, low, high, y, width) {
  const { at, places } = ticks(low, high, 5);
  for (const value of at) {
    svg.append(drawn("line", { class: "grid", x1: left.figure, x2: width - 8, y1: y(value), y2: y(value) }));
    svg.append(drawn("text", { x: left.figure - 6, y: y(value) + 4, "text-anchor": "end" }, shown(value, places)));
  }
  return places;
}

function xAxis(svg, values, x, bottom, unit, width) {
  const few = values.length <= 8 ? { at: values, places: null } : ticks(values[0], values[values.length - 1], 7);
  for (const value of few.at) {
    svg.append(drawn("line", { class: "axis", x1: x(value), x2: x(value), y1: bottom, y2: bottom + 4 }));
    const text = few.places === null ? String(value) : shown(value, few.places);
    svg.append(drawn("text", { x: x(value), y: bottom + 16, "text-anchor": "middle" }, text));
  }
  svg.append(drawn("line", { class: "axis", x1: left.figure, x2: width - 8, y1: bottom, y2: bottom }));
  svg.append(drawn("text", { x: (left.figure + width - 8) / 2, y: bottom + 31, "text-anchor": "middle" }, unit));
}

// Runs of points that are there: a line is broken where the clip's scene changes.
function pieces(points) {
  const found = [[]];
  points.forEach((point, index) => {
    if (point[0] === null) found.push([]);
    else found[found.length - 1].push(index);
  });
  return found.filter((piece) => piece.length);
}

function drawSeries(svg, chart, series, x, y) {
  const colour = `s${markOf(series.name)}`;
  for (const piece of pieces(series.points)) {
    const at = (index, which) => `${x(chart.x[index]).toFixed(1)},${y(series.points[index][which]).toFixed(1)}`;
    if (series.points[piece[0]].length === 3) {
      const edge = [...piece.map((index) => at(index, 2)), ...[...piece].reverse().map((index) => at(index, 1))];
      svg.append(drawn("polygon", { class: `band ${colour}`, points: edge.join(" ") }));
    }
    const first = series.name === page.first && chart.dots ? " first" : "";
    svg.append(drawn("polyline", { class: `line ${colour}${first}`, points: piece.map((index) => at(index, 0)).join(" ") }));
    if (!chart.dots) continue;
    for (const index of piece) svg.append(mark(series.name, x(chart.x[index]), y(series.points[index][0])));
  }
}

function lineChart(figure, chart) {
  figure.replaceChildren();
  const [width, height] = chart.dots ? [340, 230] : [1000, 280];
  const bottom = height - 40;
  const series = chart.series.filter((one) => !hiddenNames.has(`${chart.group} ${one.name}`));
  const numbers = series.flatMap((one) => one.points.flat()).filter((value) => value !== null);
  caption(figure, chart.title, chart.note);
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${chart.title} over ${chart.unit}` });
  figure.append(svg);
  if (!numbers.length) return;
  const [least, most] = numbers.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  const room = (most - least || Math.abs(most) || 1) * 0.06;
  const [low, high] = [least - (least >= 0 ? Math.min(room, least) : room), most + room];
  const last = chart.x[chart.x.length - 1];
  const x = chart.x.length > 1 ? scale(chart.x[0], last, left.figure + 10, width - 18) : () => (left.figure + width) / 2;
  const y = scale(low, high, bottom, 8);
  const places = yAxis(svg, low, high, y, width) + 1;
  xAxis(svg, chart.x, x, bottom, chart.unit, width);
  // Drawn last, the first entry lies on top.
  const order = [...series].sort((a, b) => (a.name === page.first) - (b.name === page.first));
  for (const one of order) drawSeries(svg, chart, one, x, y);
  follow(svg, chart, series, { x, width, bottom, places });
}

function follow(svg, chart, series, { x, width, bottom, places }) {
  const cursor = drawn("line", { class: "cursor", y1: 8, y2: bottom, visibility: "hidden" });
  svg.append(cursor);
  svg.addEventListener("pointermove", (event) => {
    const at = ((event.clientX - svg.getBoundingClientRect().left) / svg.getBoundingClientRect().width) * width;
    const distance = (index) => Math.abs(x(chart.x[index]) - at);
    const index = chart.x.reduce((best, _, candidate) => (distance(candidate) < distance(best) ? candidate : best), 0);
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(chart.x[index]));
    cursor.setAttribute("visibility", "visible");
    const rows = series.map((one) => [one.name, one.points[index] || [null]]).sort((a, b) => b[1][0] - a[1][0]);
    const lines = rows.map(([name, point]) => {
      const half = point.length === 3 ? ` ±${shown((point[2] - point[1]) / 2, places)}` : "";
      return `${shown(point[0], places)}${half}  ${name}`;
    });
    showTip(event, [`${chart.title} at ${chart.x[index]} ${chart.unit}`, ...lines].join("\n"));
  });
  svg.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); hideTip(); });
}

function rowLabel(svg, name, y) {
  svg.append(mark(name, 8, y, 11));
  const text = drawn("text", { class: "label", x: 20, y: y + 4 }, shortened(name, 24));
  text.append(drawn("title", {}, name));
  svg.append(text);
}

function rowsAxis(svg, low, high, rows, width, height) {
  const x = scale(low, high, left.forest, width - 16);
  const { at, places } = ticks(low, high, 6);
  for (const value of at) {
    svg.append(drawn("line", { class: "grid", x1: x(value), x2: x(value), y1: 4, y2: height - 20 }));
    svg.append(drawn("text", { x: x(value), y: height - 5, "text-anchor": "middle" }, shown(value, places)));
  }
  return { x, places: places + 1 };
}

function zeroLine(svg, x, height) {
  svg.append(drawn("line", { class: "zero", x1: x(0), x2: x(0), y1: 4, y2: height - 20 }));
}

function forest(figure, plot) {
  const [width, height] = [560, plot.rows.length * 24 + 30];
  const numbers = plot.rows.flatMap((row) => row.slice(1));
  const room = (Math.max(...numbers) - Math.min(...numbers) || 0.1) * 0.08;
  const low = plot.top === null ? Math.min(...numbers, ...(plot.zero ? [0] : [])) - room : -0.02;
  const high = plot.top === null ? Math.max(...numbers, ...(plot.zero ? [0] : [])) + room : plot.top * 1.02;
  caption(figure, plot.title, "dot: mean; line: 95 % interval");
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": plot.title });
  const { x, places } = rowsAxis(svg, low, high, plot.rows.length, width, height);
  if (plot.zero) zeroLine(svg, x, height);
  plot.rows.forEach(([name, mean, from, to], index) => {
    const y = index * 24 + 16;
    const row = drawn("g", { class: `s${markOf(name)}` }, drawn("title", {}, `${name}: ${shown(mean, places)} (${shown(from, places)} to ${shown(to, places)})`));
    row.append(drawn("line", { class: "whisker", x1: x(from), x2: x(to), y1: y, y2: y }), mark(name, x(mean), y, 12));
    rowLabel(svg, name, y);
    svg.append(row);
  });
  figure.append(svg);
}

function margins(figure, plot) {
  const [width, height, each] = [560, plot.rows.length * 34 + 30, 34];
  const numbers = plot.rows.flatMap((row) => row.runs.map((run) => run[1])).filter((value) => value !== null);
  if (!numbers.length) return;
  caption(figure, "Stopping margin of each run, m", "✕: collision");
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Stopping margin of each run" });
  const [low, high] = [Math.min(0, ...numbers), Math.max(0, ...numbers)];
  const room = (high - low || 1) * 0.05;
  const { x } = rowsAxis(svg, low - room, high + room, plot.rows.length, width, height);
  zeroLine(svg, x, height);
  plot.rows.forEach((row, index) => {
    const middle = index * each + 20;
    rowLabel(svg, row.name, middle);
    for (const [seed, margin, impact, scene] of row.runs) {
      if (margin === null) continue;
      const y = middle + (((seed * 7) % 11) - 5) * 2;
      const dot = margin < 0
        ? drawn("path", { class: "crash", d: `M${x(margin) - 3.5},${y - 3.5}l7,7m0,-7l-7,7` })
        : drawn("circle", { class: `mark s${markOf(row.name)}`, cx: x(margin), cy: y, r: 3.2, opacity: 0.75 });
      const end = margin < 0 ? `collision at ${shown(impact * 3.6, 0)} km/h` : `${shown(margin, 1)} m left`;
      dot.append(drawn("title", {}, `${row.name}, seed ${seed} (${scene}): ${end}`));
      svg.append(dot);
    }
  });
  figure.append(svg);
}

function drawGroup(group) {
  for (const figure of all("figure[data-chart]")) {
    const chart = page.charts[figure.dataset.chart];
    if (chart && (group === null || chart.group === group)) lineChart(figure, chart);
  }
}

for (const legend of all("[data-legend]")) {
  legend.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const key = `${legend.dataset.legend} ${button.dataset.name}`;
    if (!hiddenNames.delete(key)) hiddenNames.add(key);
    button.setAttribute("aria-pressed", String(!hiddenNames.has(key)));
    drawGroup(legend.dataset.legend);
  });
}
for (const figure of all("figure[data-forest]")) {
  if (page.forests[figure.dataset.forest]) forest(figure, page.forests[figure.dataset.forest]);
}
for (const figure of all("figure[data-margins]")) margins(figure, page.margins[Number(figure.dataset.margins)]);
drawGroup(null);
