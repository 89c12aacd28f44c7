// The list of pairs: one entry beside another, by one metric, worst first.
const STEP = 50;
const form = document.getElementById("choose");
const list = document.getElementById("list");
const more = document.getElementById("more");
const order = { key: "entry", direction: 1 };
let limit = STEP;

const pictured = Object.keys(page.thumbnails).length > 0;
const entryAt = (name) => page.entries.indexOf(form.elements[name].value);
const metricAt = () => page.metrics.indexOf(form.elements.metric.value);
const lower = () => page.lower.includes(form.elements.metric.value);
const figureOf = (entry, pair) => page.pairs.values[entry][metricAt()][pair];
// The way of sorting that puts the worst first.
const worstFirst = () => (lower() ? -1 : 1);

function keyOf(pair) {
  if (order.key === "name" || order.key === "scene") return page.pairs[order.key][pair];
  if (order.key !== "difference") return figureOf(entryAt(order.key), pair);
  return figureOf(entryAt("entry"), pair) - figureOf(entryAt("rival"), pair);
}

function sortedPairs() {
  const { scene, find } = { scene: form.elements.scene.value, find: form.elements.find.value.toLowerCase() };
  const wanted = page.pairs.name.map((_, pair) => pair).filter(
    (pair) => (!scene || page.pairs.scene[pair] === scene) && page.pairs.name[pair].toLowerCase().includes(find));
  const keys = new Map(wanted.map((pair) => [pair, keyOf(pair)]));
  return wanted.sort((a, b) => {
    const [one, other] = [keys.get(a), keys.get(b)];
    if (one === null || other === null) return (one === null) - (other === null);
    return order.direction * (typeof one === "string" ? one.localeCompare(other, undefined, { numeric: true }) : one - other);
  });
}

function picture(source, alt) {
  const cell = element("td", { class: "picture" });
  if (source) cell.append(element("img", { src: source, alt, loading: "lazy", width: 160 }));
  else cell.append(element("small", {}, "no thumbnail kept"));
  return cell;
}

function figureCell(text) {
  return element("td", { class: "figure" }, text);
}

function rowOf(pair) {
  const name = page.pairs.name[pair];
  const places = page.places[form.elements.metric.value];
  const [one, other] = [figureOf(entryAt("entry"), pair), figureOf(entryAt("rival"), pair)];
  // A long name is broken behind its folder rather than anywhere.
  const parts = name.split("/").flatMap((part, index) => (index ? ["/", element("wbr"), part] : [part]));
  const row = element("tr", { "data-pair": pair }, element("th", { scope: "row" }, ...parts));
  row.append(element("td", { class: "scene", title: `mean luma ${shown(page.pairs.luma[pair], 0)}` }, page.pairs.scene[pair]));
  if (pictured) {
    const found = page.thumbnails[pair] || { fused: [] };
    row.append(picture(found.visible, `${name}, visible`), picture(found.thermal, `${name}, thermal`));
    for (const which of ["entry", "rival"]) {
      row.append(picture(found.fused[entryAt(which)], `${name}, ${form.elements[which].value}`));
    }
  }
  const button = element("button", { type: "button", "aria-expanded": "false" }, "all");
  button.setAttribute("aria-label", `all figures of ${name}`);
  row.append(figureCell(shown(one, places)), figureCell(shown(other, places)));
  row.append(figureCell(difference(one === null || other === null ? null : one - other, places)), element("td", {}, button));
  return row;
}

function allFigures(pair, columns) {
  const head = element("tr", {}, element("th", {}, "entry"), ...page.metrics.map((name) => element("th", { scope: "col" }, name)));
  const rows = page.entries.map((name, entry) => element(
    "tr", {}, element("th", { scope: "row" }, name),
    ...page.metrics.map((metric, at) => element("td", {}, shown(page.pairs.values[entry][at][pair], page.places[metric])))));
  const table = element("table", { class: "tests" }, element("thead", {}, head), element("tbody", {}, ...rows));
  return element("tr", { class: "more" }, element("td", { class: "all", colspan: columns }, table));
}

function drawList() {
  const [found, metric] = [sortedPairs(), form.elements.metric.value];
  const names = { entry: form.elements.entry.value, rival: form.elements.rival.value };
  const shownPairs = found.slice(0, limit);
  list.tBodies[0].replaceChildren(...shownPairs.map(rowOf));
  for (const head of list.tHead.rows[0].cells) {
    const { key, title } = head.dataset;
    if (title) head.textContent = names[title];
    if (key === "entry" || key === "rival") head.firstChild.textContent = `${metric}, ${names[key]}`;
    if (!key) continue;
    head.setAttribute("aria-sort", key !== order.key ? "none" : order.direction > 0 ? "ascending" : "descending");
  }
  document.getElementById("count").textContent = `${shownPairs.length} of ${found.length} ${page.unit}s`;
  more.hidden = found.length <= limit;
  more.textContent = `Show ${Math.min(STEP, found.length - limit)} more`;
}

list.tHead.addEventListener("click", (event) => {
  const head = event.target.closest("button")?.closest("th");
  if (!head) return;
  const { key } = head.dataset;
  const usual = key === "name" || key === "scene" ? 1 : worstFirst();
  order.direction = key === order.key ? -order.direction : usual;
  order.key = key;
  drawList();
});

list.tBodies[0].addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const row = button.closest("tr");
  const open = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!open));
  if (open) row.nextElementSibling.remove();
  else row.after(allFigures(Number(row.dataset.pair), row.cells.length));
});

function redraw() {
  limit = STEP;
  drawList();
}

for (const select of all("select", form)) {
  select.addEventListener("change", () => {
    if (select.name === "metric" && order.key !== "name" && order.key !== "scene") order.direction = worstFirst();
    redraw();
  });
}
form.elements.find.addEventListener("input", redraw);
form.addEventListener("submit", (event) => event.preventDefault());
more.addEventListener("click", () => { limit += STEP; drawList(); });
order.direction = worstFirst();
drawList();
