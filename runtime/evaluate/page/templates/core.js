"use strict";
// What the other scripts of this page share.
const page = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const MARKS = 8;
const tip = document.getElementById("tip");
const all = (what, within = document) => [...within.querySelectorAll(what)];
const markOf = (name) => page.names.indexOf(name) % MARKS;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function drawn(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function mark(name, x, y, size = 9) {
  const place = { x: x - size / 2, y: y - size / 2, width: size, height: size };
  return drawn("use", { href: `#m${markOf(name)}`, class: `mark s${markOf(name)}`, ...place });
}

function shown(value, places) {
  if (value === null || value === undefined) return "–";
  const text = value.toFixed(places);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

function difference(value, places) {
  const text = shown(value, places);
  return Number(text) > 0 ? `+${text}` : text;
}

// Round steps for an axis: 1, 2 or 5 times a power of ten.
function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) found.push(k * step);
  return { at: found, places: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

function showTip(event, text) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8))}px`;
  tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - box.height - 8))}px`;
}

const hideTip = () => { tip.hidden = true; };

function caption(figure, title, note) {
  figure.append(element("figcaption", {}, title, ...(note ? [" ", element("small", {}, note)] : [])));
}

function shortened(name, most) {
  return name.length > most ? `${name.slice(0, most - 1)}…` : name;
}
