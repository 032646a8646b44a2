/* Axes, lines and words on a canvas; colours are the page's. */
const inks = new Map();
function ink(name) {
  if (!inks.has(name)) inks.set(name, getComputedStyle(root).getPropertyValue("--" + name).trim() || "#888");
  return inks.get(name);
}

function mixed(one, other, part) {
  const [a, b] = [one, other].map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  return "rgb(" + a.map((value, i) => Math.round(value + (b[i] - value) * part)).join(",") + ")";
}

function words(c, text, x, y, { align = "left", colour = "soft", size = 12, weight = 400, base = "alphabetic" } = {}) {
  c.font = weight + " " + size + "px " + ink("sans");
  c.fillStyle = ink(colour);
  c.textAlign = align;
  c.textBaseline = base;
  c.fillText(text, x, y);
}

/* Where a step is within a box, and which step is at a place; `since` for an axis that begins at a switch. */
function stepScale(box, low, high, { since = null, axis = state.axis } = {}) {
  const isLog = axis === "log";
  const least = since === null ? firstStep() : 5;
  const to = (step) => isLog ? Math.log10(Math.max(step, least)) : step;
  const ends = [to(low), to(high)];
  const at = (step) => box.x + box.wide * (to(since === null ? step : step - since) - ends[0]) / (ends[1] - ends[0]);
  const back = (x) => {
    const value = ends[0] + (ends[1] - ends[0]) * (x - box.x) / box.wide;
    const step = isLog ? (value <= Math.log10(least) + 1e-6 ? 0 : 10 ** value) : value;
    return Math.round(Math.min(Math.max(step, low), high)) + (since ?? 0);
  };
  const ticks = [];
  if (isLog) {
    ticks.push(0);
    for (let tick = 10 ** Math.ceil(Math.log10(least * 1.2)); tick <= high; tick *= 10) ticks.push(tick);
  } else {
    const apart = niceApart(high - low, box.wide / 90);
    for (let tick = 0; tick <= high; tick += apart) ticks.push(tick);
  }
  return { at, back, ticks: ticks.map((tick) => [tick, box.x + box.wide * (to(tick) - ends[0]) / (ends[1] - ends[0])]) };
}

function niceApart(span, most) {
  const rough = span / Math.max(most, 1), power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((m) => m * power).find((each) => each >= rough);
}

function axes(c, box, scale, yTicks, yAt, { title = "", x = "training step", showsX = true } = {}) {
  c.lineWidth = 1;
  for (const [label, value] of yTicks) {
    const y = Math.round(yAt(value)) + .5;
    c.strokeStyle = ink("grid");
    c.beginPath(); c.moveTo(box.x, y); c.lineTo(box.x + box.wide, y); c.stroke();
    words(c, label, box.x - 6, y, { align: "right", base: "middle" });
  }
  c.strokeStyle = ink("line");
  c.beginPath(); c.moveTo(box.x, box.y + box.high + .5); c.lineTo(box.x + box.wide, box.y + box.high + .5); c.stroke();
  if (showsX) {
    for (const [tick, place] of scale.ticks) {
      c.beginPath(); c.moveTo(place, box.y + box.high); c.lineTo(place, box.y + box.high + 4); c.stroke();
      const isLast = place > box.x + box.wide - 16;
      words(c, thousands(tick), isLast ? box.x + box.wide + 10 : place, box.y + box.high + 17, { align: isLast ? "right" : "center" });
    }
    words(c, x, box.x + box.wide, box.y + box.high + 33, { align: "right" });
  }
  if (title) words(c, title, box.x, box.y - 8, { colour: "ink", weight: 600 });
}

/* A curve over steps; what is after the shown step is faint. */
function curve(c, array, scale, yAt, colour, { dash = [], wide = 2, until = Infinity, faint = .28, place = 0 } = {}) {
  const drawn = (upTo, alpha) => {
    c.beginPath();
    let on = false;
    for (let frame = 0; frame < array.steps.length && array.steps[frame] <= upTo; frame++) {
      const value = array.get(frame, place);
      if (!Number.isFinite(value)) { on = false; continue; }
      const x = scale.at(array.steps[frame]), y = yAt(value);
      if (on) c.lineTo(x, y); else c.moveTo(x, y);
      on = true;
    }
    c.globalAlpha = alpha;
    c.stroke();
    c.globalAlpha = 1;
  };
  c.strokeStyle = colour;
  c.lineWidth = wide;
  c.lineJoin = "round";
  c.setLineDash(dash);
  if (until < array.steps.at(-1)) drawn(Infinity, faint);
  drawn(until, 1);
  c.setLineDash([]);
}

/* Browsers draw a line of one pixel many times as fast as a wider one: a small curve is drawn as several. */
function strokes(c, path, thick) {
  const ratio = window.devicePixelRatio || 1, n = Math.max(1, Math.round(thick * ratio));
  c.lineWidth = 1 / ratio;
  for (let i = 0; i < n; i++) {
    const off = (i - (n - 1) / 2) / ratio;
    c.translate(0, off);
    c.stroke(path);
    c.translate(0, -off);
  }
}

function cursor(c, box, x) {
  c.strokeStyle = ink("ink");
  c.lineWidth = 1;
  c.globalAlpha = .55;
  c.beginPath(); c.moveTo(Math.round(x) + .5, box.y); c.lineTo(Math.round(x) + .5, box.y + box.high); c.stroke();
  c.globalAlpha = 1;
}

function dot(c, x, y, colour, size = 4) {
  c.fillStyle = colour;
  c.beginPath(); c.arc(x, y, size, 0, 2 * Math.PI); c.fill();
}

/* Dragging within a box sets the step. */
function scrubs(view, box, scale) {
  view.spots.push({ ...{ x: box.x - 10, y: box.y - 10, wide: box.wide + 20, high: box.high + 40 }, press: (x) => set({ step: scale.back(x) }) });
}

const shareAt = (box) => (value) => box.y + box.high * (1 - value);
const SHARES = [["0", 0], ["50 %", .5], ["100 %", 1]];
const percent = (value) => Number.isFinite(value) ? (100 * value).toFixed(1) + " %" : "unknown";
const raised = (power) => String(power).replace(/[-0-9]/g, (sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]);
const short = (value) => !Number.isFinite(value) ? "unknown" : Math.abs(value) >= 1e-3 || value === 0 ? String(Number(value.toPrecision(3))).replace("-", "−") : value.toExponential(1).replace(/e(-?)\+?(\d+)/, (_, sign, power) => " × 10" + raised(sign + power)).replace("-", "−");
