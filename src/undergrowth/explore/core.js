/* One state, which all pictures show and the address holds; scrolling, the bar and the pictures set it. */
const root = document.documentElement;
const still = matchMedia("(prefers-reduced-motion: reduce)");
const narrow = matchMedia("(max-width: 60rem)");
const state = { scene: "", step: 0, arm: "", seed: 0, neuron: -1, example: -1, group: -1, k: 8, axis: "log", align: "step", switch: "memorised", order: "x", dose: 0, decay: 0 };
const NUMBERS = new Set(["step", "seed", "neuron", "example", "group", "k", "dose", "decay"]);
const beginning = { ...state };
const drawings = {};
const views = [];
let steps = [0];
let byScroll = true;

/* Arrays: float32, or a scale a frame and int8 less the frame before. */
function decoded(told, bytes, from) {
  const n = told.steps.length, size = told.shape.reduce((a, b) => a * b, 1);
  const found = { ...told, size, seed: told.seed };
  let end;
  if (told.kind === "f4") {
    end = from + 4 * n * size;
    const values = new Float32Array(bytes.slice(from, end).buffer);
    found.get = (frame, place) => values[frame * size + place];
  } else {
    const scales = new Float32Array(bytes.slice(from, from + 4 * n).buffer);
    end = from + 4 * n + n * size;
    const values = new Int8Array(bytes.slice(from + 4 * n, end).buffer);
    for (let i = size; i < values.length; i++) values[i] += values[i - size];
    found.get = (frame, place) => {
      const value = values[frame * size + place];
      return value === -128 ? NaN : value * scales[frame];
    };
  }
  return [found, end + (4 - end % 4) % 4];
}

/* The last frame at or before a step. */
function frameAt(array, step) {
  const at = array.steps;
  let low = 0, high = at.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (at[middle] <= step) low = middle; else high = middle - 1;
  }
  return low;
}

async function unpack(view) {
  const base64 = atob(view.element.querySelector(".arrays").textContent);
  const packed = new Uint8Array(base64.length);
  for (let i = 0; i < packed.length; i++) packed[i] = base64.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  view.data = JSON.parse(view.element.querySelector(".data").textContent);
  let from = 0;
  for (const told of view.data.arrays) {
    const [array, end] = decoded(told, bytes, from);
    from = end;
    view.arrays.push(array);
    view.named.set(array.name + "#" + array.seed, array);
  }
  view.seeds = [...new Set(view.arrays.map((array) => array.seed))];
}

/* An array of the seed that is shown, or of the first one where that has none. */
function named(view, name) {
  return view.named.get(name + "#" + seedOf(view)) ?? null;
}
const seedOf = (view) => view.seeds.includes(state.seed) ? state.seed : view.seeds[0];

function set(changed) {
  let differs = false;
  for (const [name, value] of Object.entries(changed)) {
    if (name in state && state[name] !== value) { state[name] = value; differs = true; }
  }
  if (differs) schedule();
}

let isDue = false, hashDue = 0;
function schedule() {
  if (!isDue) { isDue = true; requestAnimationFrame(render); }
  clearTimeout(hashDue);
  hashDue = setTimeout(writeHash, 250);
}

function render() {
  isDue = false;
  for (const view of views) if (view.visible && view.ready) drawView(view);
  sayBar();
}

function drawView(view) {
  const drawing = drawings[view.name];
  const c = view.canvas.getContext("2d");
  const ratio = window.devicePixelRatio || 1;
  const width = view.canvas.clientWidth, room = window.innerHeight * (narrow.matches ? .4 : .62);
  const height = Math.round(Math.min(drawing.height(width), room));
  if (view.canvas.width !== Math.round(width * ratio) || view.canvas.height !== Math.round(height * ratio)) {
    view.canvas.width = Math.round(width * ratio);
    view.canvas.height = Math.round(height * ratio);
    view.canvas.style.height = height + "px";
  }
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, width, height);
  view.spots = [];
  drawing.draw(view, c, width, height);
  const other = seedOf(view) === state.seed ? "" : ` This is seed ${seedOf(view)}: seed ${state.seed} has no such runs.`;
  const says = drawing.says(view) + other;
  if (view.said.textContent !== says) view.said.textContent = says;
  for (const refresh of view.refreshers) refresh();
}

/* The address */
function writeHash() {
  const told = Object.entries(state).filter(([name, value]) => value !== beginning[name]);
  const hash = "#" + new URLSearchParams(told.map(([name, value]) => [name, String(value)]));
  if (location.hash !== hash && (told.length || location.hash)) history.replaceState(null, "", hash);
}

function readHash() {
  const text = decodeURIComponent(location.hash.slice(1));
  if (text && document.getElementById(text)?.dataset.scene) return { scene: text };
  const told = {};
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (!(name in state)) continue;
    if (!NUMBERS.has(name)) told[name] = value;
    else if (Number.isFinite(Number(value))) told[name] = Number(value);
  }
  return told;
}

function follow() {
  const told = readHash();
  if (!Object.keys(told).length) return false;
  byScroll = false;
  set(told);
  document.getElementById(told.scene ?? "")?.scrollIntoView();
  return true;
}

/* Scrolling: between two paragraphs the step goes from one's to the other's. */
const firstStep = () => (steps.find((step) => step > 0) ?? 1) / 2;
const toLog = (step) => Math.log(Math.max(step, firstStep()));
let lastBeat = null;
function scrolled() {
  if (!byScroll) return;
  const line = window.innerHeight * (narrow.matches ? .78 : .5);
  const scene = [...document.querySelectorAll(".scene")].find((each) => {
    const box = each.getBoundingClientRect();
    return box.top <= line && box.bottom > line;
  });
  if (!scene) return;
  const beats = [...scene.querySelectorAll(".beat")].map((element) => {
    const box = element.getBoundingClientRect();
    return { element, middle: (box.top + box.bottom) / 2, sets: JSON.parse(element.dataset.state) };
  });
  const after = beats.findIndex((beat) => beat.middle > line);
  const before = after < 0 ? beats.length - 1 : Math.max(after - 1, 0);
  const next = after < 0 ? before : after;
  const from = beats[before], to = beats[next];
  const gone = to === from ? 0 : (line - from.middle) / (to.middle - from.middle);
  const part = Math.min(Math.max((gone - .25) / .5, 0), 1);
  const nearest = part < .5 ? from : to;
  const changed = { scene: scene.dataset.scene };
  if (nearest.element !== lastBeat) {
    lastBeat = nearest.element;
    Object.assign(changed, nearest.sets);
  }
  if (!still.matches && from.sets.step !== undefined && to.sets.step !== undefined) {
    const between = Math.exp(toLog(from.sets.step) * (1 - part) + toLog(to.sets.step) * part);
    changed.step = part === 0 ? from.sets.step : part === 1 ? to.sets.step : Math.round(between);
  }
  set(changed);
}

/* The bar */
const bar = {};
function sayBar() {
  const place = steps.findLastIndex((step) => step <= state.step);
  bar.step.value = Math.max(place, 0);
  bar.step.setAttribute("aria-valuetext", "step " + thousands(state.step));
  bar.said.textContent = thousands(state.step);
  bar.axis.textContent = state.axis === "log" ? "log axis" : "linear";
  if (bar.seed) bar.seed.value = String(state.seed);
}

function stepBy(places) {
  const place = steps.findLastIndex((step) => step <= state.step);
  set({ step: steps[Math.min(Math.max(place + places, 0), steps.length - 1)] });
}

let playing = 0;
function play() {
  if (playing) { cancelAnimationFrame(playing); playing = 0; bar.play.textContent = "▶"; bar.play.setAttribute("aria-label", "Play"); return; }
  bar.play.textContent = "❚❚";
  bar.play.setAttribute("aria-label", "Pause");
  const ends = [toLog(0), toLog(steps.at(-1))];
  let at = state.step >= steps.at(-1) ? ends[0] : toLog(state.step), then = performance.now();
  const on = (now) => {
    at += (ends[1] - ends[0]) * (now - then) / 9000;
    then = now;
    set({ step: at >= ends[1] ? steps.at(-1) : at <= ends[0] ? 0 : Math.round(Math.exp(at)) });
    if (at >= ends[1]) { play(); return; }
    playing = requestAnimationFrame(on);
  };
  playing = requestAnimationFrame(on);
}

function setUpBar() {
  for (const id of ["step", "play", "seed", "axis"]) bar[id] = document.getElementById(id);
  bar.said = document.getElementById("step-said");
  bar.step.max = steps.length - 1;
  bar.step.addEventListener("input", () => set({ step: steps[Number(bar.step.value)] }));
  bar.play.addEventListener("click", play);
  bar.axis.addEventListener("click", () => set({ axis: state.axis === "log" ? "linear" : "log" }));
  bar.seed?.addEventListener("change", () => set({ seed: Number(bar.seed.value), example: -1, neuron: -1 }));
  document.getElementById("bar").hidden = false;
}

/* Words and pictures that set it */
function setUpViews() {
  for (const button of document.querySelectorAll(".sets")) {
    /* the numbers in the text are of the first seed */
    button.addEventListener("click", () => set({ seed: beginning.seed, ...JSON.parse(button.dataset.sets) }));
  }
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const view = views.find((each) => each.element === entry.target);
      view.visible = entry.isIntersecting;
    }
    schedule();
  }, { rootMargin: "-2px" });
  for (const element of document.querySelectorAll(".scene")) {
    const canvas = element.querySelector("canvas");
    if (!canvas) continue;
    const view = { name: element.dataset.scene, element, canvas, arrays: [], named: new Map(), spots: [], refreshers: [],
      said: element.querySelector(".says"), visible: false, ready: false };
    views.push(view);
    watch.observe(element);
  }
}

async function ready(view) {
  await unpack(view);
  view.element.querySelector(".still").hidden = true;
  view.canvas.hidden = false;
  view.canvas.addEventListener("pointerdown", (event) => {
    view.pressed = true;
    view.canvas.setPointerCapture(event.pointerId);
    press(view, event);
  });
  view.canvas.addEventListener("pointermove", (event) => { if (view.pressed) press(view, event); });
  for (const end of ["pointerup", "pointercancel"]) view.canvas.addEventListener(end, () => { view.pressed = false; });
  view.canvas.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -1e9, End: 1e9 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    stepBy(by);
  });
  view.canvas.addEventListener("focus", () => view.said.setAttribute("aria-live", "polite"));
  view.canvas.addEventListener("blur", () => view.said.setAttribute("aria-live", "off"));
  const button = view.element.querySelector(".csv");
  button.hidden = false;
  button.addEventListener("click", () => download(view));
  drawings[view.name].controls?.(view, view.element.querySelector(".controls"));
  view.ready = true;
  schedule();
}

/* What is pressed is the last drawn spot under the pointer. */
function press(view, event) {
  const box = view.canvas.getBoundingClientRect();
  const x = event.clientX - box.left, y = event.clientY - box.top;
  for (const spot of [...view.spots].reverse()) {
    if (x >= spot.x && x <= spot.x + spot.wide && y >= spot.y && y <= spot.y + spot.high) { spot.press(x, y, event.type); return; }
  }
}

function toggle(controls, view, label, isOn, pressed, colour) {
  const button = document.createElement("button");
  button.type = "button";
  if (colour) {
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = "var(--" + colour + ")";
    button.append(swatch);
  }
  button.append(label);
  button.addEventListener("click", pressed);
  view.refreshers.push(() => button.setAttribute("aria-pressed", String(isOn())));
  controls.append(button);
  return button;
}

/* The data behind a picture: a line a number. */
function csvOf(view) {
  const quoted = (text) => /[",\n]/.test(text) ? '"' + String(text).replaceAll('"', '""') + '"' : String(text);
  const lines = ["run,seed,reading,step,place,value"];
  for (const array of view.arrays) {
    const head = array.run + "," + array.seed + "," + quoted(array.name);
    const places = [];
    for (let i = 0; i < array.size; i++) {
      let rest = i;
      const at = [];
      for (let axis = array.axes.length - 1; axis >= 0; axis--) {
        const place = rest % array.shape[axis];
        rest = Math.floor(rest / array.shape[axis]);
        at.unshift(array.axes[axis] + "=" + (array.labels[array.axes[axis]]?.[place] ?? place));
      }
      places.push(quoted(at.join(" ")));
    }
    array.steps.forEach((step, frame) => {
      for (let i = 0; i < array.size; i++) {
        const value = array.get(frame, i);
        if (Number.isFinite(value)) lines.push(head + "," + step + "," + places[i] + "," + Number(value.toPrecision(7)));
      }
    });
  }
  return lines.join("\n") + "\n";
}

function download(view) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csvOf(view)], { type: "text/csv" }));
  link.download = view.name + ".csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const thousands = (n) => Number(n).toLocaleString("en-US");

function setUpTheme() {
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
  const say = () => { button.textContent = isDark() ? "Light" : "Dark"; inks.clear(); schedule(); };
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; say(); });
  dark.addEventListener("change", say);
  say();
}

/* On paper every picture is drawn, dark on light. */
function setUpPrint() {
  let theme;
  const draw = () => { inks.clear(); for (const view of views) if (view.ready) drawView(view); };
  window.addEventListener("beforeprint", () => { theme = root.dataset.theme; root.dataset.theme = "light"; draw(); });
  window.addEventListener("afterprint", () => {
    if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
    draw();
  });
}

async function start() {
  steps = JSON.parse(document.getElementById("steps").textContent);
  setUpViews();
  const first = document.querySelector("#seed option, #one-seed");
  beginning.seed = state.seed = Number(first.textContent);
  setUpBar();
  setUpTheme();
  setUpPrint();
  setUpGuesses();
  if (!("DecompressionStream" in window)) {
    const told = document.getElementById("broken");
    told.textContent = "This browser is too old to unpack the pictures: use Chrome or Edge 97, Firefox 113, Safari 16.4, or a later version.";
    told.hidden = false;
    return;
  }
  const cited = follow();
  for (const link of document.querySelectorAll("nav a")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      byScroll = true;
      document.getElementById(link.hash.slice(1)).scrollIntoView();
    });
  }
  window.addEventListener("hashchange", follow);
  for (const own of ["wheel", "touchmove", "keydown"]) window.addEventListener(own, (event) => { if (!event.target.closest?.("canvas, input, select, #bar")) byScroll = true; }, { passive: true });
  window.addEventListener("scroll", () => requestAnimationFrame(scrolled), { passive: true });
  window.addEventListener("resize", schedule);
  for (const view of views) {
    try { await ready(view); } catch (error) {
      const told = document.getElementById("broken");
      told.textContent = "A picture could not be unpacked (" + error.message + "): the file of this page may be incomplete.";
      told.hidden = false;
    }
  }
  if (cited) document.getElementById(state.scene)?.scrollIntoView(); else scrolled();
  root.dataset.ready = "yes";
}
