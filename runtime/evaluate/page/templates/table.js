// Tables sorted by their headings; tables of one group, such as all, day and night, sort together.
const BLANK = "";

function compare(a, b) {
  const numbers = [Number(a), Number(b)];
  if (a !== BLANK && b !== BLANK && numbers.every((value) => !Number.isNaN(value))) return numbers[0] - numbers[1];
  return a.localeCompare(b, undefined, { numeric: true });
}

function sortTable(table, column, direction) {
  const body = table.tBodies[0];
  const value = (row) => row.cells[column].dataset.value ?? BLANK;
  const rows = [...body.rows].sort((a, b) => {
    // What has no figure comes last, whichever way.
    if ((value(a) === BLANK) !== (value(b) === BLANK)) return value(a) === BLANK ? 1 : -1;
    return direction * compare(value(a), value(b));
  });
  body.append(...rows);
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    head.setAttribute("aria-sort", index !== column ? "none" : direction > 0 ? "ascending" : "descending");
  });
}

for (const table of all("table.sortable")) {
  table.tHead.addEventListener("click", (event) => {
    const head = event.target.closest("button")?.closest("th");
    if (!head) return;
    const best = ["high", "none"].includes(head.dataset.best) ? -1 : 1;
    const now = { ascending: 1, descending: -1 }[head.getAttribute("aria-sort")];
    const direction = now ? -now : best;
    for (const one of all(`table.sortable[data-group="${table.dataset.group}"]`)) sortTable(one, head.cellIndex, direction);
  });
}

document.getElementById("scenes")?.addEventListener("click", (event) => {
  const pressed = event.target.closest("button");
  if (!pressed) return;
  for (const button of all("#scenes button")) button.setAttribute("aria-pressed", String(button === pressed));
  for (const view of all("[data-view]")) view.hidden = view.dataset.view !== pressed.dataset.scene;
});
