"use strict";
/* Shows what the server knows of a store's runs, and what it sends as it learns more. Everything that comes
   is merged by run and step, so that hearing something twice changes nothing. */
(function () {
  const { news: first, looks } = JSON.parse(document.getElementById("data").textContent);
  const MOST_CHOSEN = 60, MOST_OPEN = 60;
  const byId = (id) => document.getElementById(id);
  const runs = new Map(), curves = new Map(), rows = new Map(), arms = new Map();
  const chosen = new Set(), opened = new Map();
  let lastId = "", isAll = true, isAuto = true, source = null, lifted = null, dirty = false, isChosenAnew = false;
  const shown = { train: true, val: true };

  /* numbers in words */
  const count = (n) => n.toLocaleString("en");
  const percent = (x) => x === null ? "" : (100 * x).toFixed(1) + " %";
  const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
  const value = (x) => x === null ? "–" : Math.abs(x) >= 1e-3 || x === 0 ? String(+x.toPrecision(4)) : x.toExponential(2);
  function rateOf(x) { return x >= 10 ? count(Math.round(x)) : x.toPrecision(2); }
  function clock(seconds) {
    const s = Math.round(seconds), h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60, two = (n) => String(n).padStart(2, "0");
    return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
  }
  const short = (id) => id.slice(0, 8);

  /* what comes in */
  function hear(news, isEverything) {
    if (isEverything) { runs.clear(); curves.clear(); rows.clear(); arms.clear(); byId("table").querySelectorAll("tbody").forEach((body) => body.remove()); }
    lastId = news.id; isAll = news.is_all;
    const again = [];
    for (const run of news.runs) {
      const before = runs.get(run.id);
      runs.set(run.id, run);
      if (curves.has(run.id) && before?.forked !== run.forked) again.push(run.id);
    }
    for (const [id, points] of Object.entries(news.points)) {
      const its = curves.get(id);
      if (its) for (const [step, ...values] of points) its.put(step, values);
    }
    choose();
    fetchCurves(again);
    showWrong(news.wrong);
    for (const run of news.runs) showRun(run);
    arrange();
    showState(news.in_use);
    redraw();
  }

  /* the points of a run in the order of steps: new ones mostly come last */
  class Curves {
    constructor() { this.steps = []; this.values = [[], [], [], []]; }
    put(step, values, isOld = false) {
      let at = this.steps.length;
      while (at > 0 && this.steps[at - 1] > step) at--;
      if (at > 0 && this.steps[at - 1] === step) { if (!isOld) values.forEach((v, i) => { this.values[i][at - 1] = v; }); return; }
      this.steps.splice(at, 0, step);
      values.forEach((v, i) => this.values[i].splice(at, 0, v));
    }
    /* what was there before: it fills in what is lacking, for what came meanwhile is newer */
    fill(points) {
      const mine = this.steps.map((step, i) => [step, ...this.values.map((column) => column[i])]);
      const all = new Map(points.map((point) => [point[0], point]));
      for (const point of mine) all.set(point[0], point);
      const sorted = [...all.values()].sort((a, b) => a[0] - b[0]);
      this.steps = sorted.map((point) => point[0]);
      this.values = [1, 2, 3, 4].map((i) => sorted.map((point) => point[i]));
    }
  }

  async function fetchCurves(again) {
    const missing = [...chosen].filter((id) => !curves.has(id));
    for (const id of missing) curves.set(id, new Curves());
    for (const id of [...curves.keys()]) if (!chosen.has(id)) curves.delete(id);
    const ids = [...new Set([...missing, ...again])].filter((id) => chosen.has(id));
    if (!ids.length) return;
    try {
      const answer = await fetch("/curves?" + ids.map((id) => "run=" + id).join("&"));
      const found = await answer.json();
      if (found.epoch !== lastId.split("-")[0]) return; /* all is told again, and asked for again */
      for (const [id, points] of Object.entries(found.curves)) curves.get(id)?.fill(points);
      redraw();
    } catch (error) {
      for (const id of missing) curves.delete(id); /* asked for again with what comes next */
    }
  }

  /* which runs are drawn */
  const begun = (run) => run.began !== null;
  function newestArm() {
    let newest = null;
    for (const run of runs.values()) if (begun(run) && (newest === null || run.began > newest.began)) newest = run;
    return newest?.arm ?? null;
  }
  function choose() {
    for (const id of chosen) if (!runs.has(id)) chosen.delete(id);
    if (!isAuto) return;
    const arm = newestArm(), its = [...runs.values()].filter((run) => run.arm === arm && begun(run));
    its.sort((a, b) => b.began - a.began);
    const before = [...chosen].sort().join();
    chosen.clear();
    its.slice(0, MOST_CHOSEN).forEach((run) => chosen.add(run.id));
    if (before !== [...chosen].sort().join()) isChosenAnew = true;
  }
  function pick(ids, isOn) {
    isAuto = false;
    for (const id of ids) if (isOn && begun(runs.get(id)) && chosen.size < 200) chosen.add(id); else if (!isOn) chosen.delete(id);
    isChosenAnew = true;
    fetchCurves([]);
    arrange();
    redraw();
  }

  /* the table */
  const element = (tag, name, text) => { const made = document.createElement(tag); if (name) made.className = name; if (text) made.textContent = text; return made; };
  function rowOf(run) {
    const row = element("tr", "run");
    const cells = {};
    for (const name of ["pick", "who", "how", "steps", "rate", "time", "train", "val", "events"]) {
      cells[name] = row.appendChild(element("td", ["rate", "time", "train", "val"].includes(name) ? name + " n" : name));
    }
    const box = element("input"); box.type = "checkbox";
    box.addEventListener("change", () => pick([run.id], box.checked));
    cells.pick.append(box);
    const seed = element("span"), id = element("code");
    cells.who.append(seed, id);
    const status = cells.how.appendChild(element("span", "status"));
    const bar = element("progress"), step = element("span");
    cells.steps.append(bar, step);
    const message = element("span", "message"), happened = element("span");
    cells.events.append(message, happened);
    return { row, cells, box, seed, id, status, bar, step, message, happened };
  }
  function set(node, text) { if (node.textContent !== text) node.textContent = text; }
  function showRun(run) {
    let its = rows.get(run.id);
    if (!its) rows.set(run.id, its = rowOf(run));
    const kind = run.status === "not begun" ? "waiting" : run.status;
    its.row.className = "run " + kind;
    its.box.disabled = !begun(run);
    its.box.setAttribute("aria-label", `Curves of ${run.arm}, ${run.seed || short(run.id)}`);
    set(its.seed, run.seed); set(its.id, short(run.id));
    set(its.status, run.status);
    its.bar.hidden = !run.steps;
    if (run.steps) { its.bar.max = run.steps; its.bar.value = run.status === "done" ? run.steps : run.step; }
    its.bar.setAttribute("aria-label", "Steps made");
    set(its.step, run.steps ? `${count(run.step)} of ${count(run.steps)}` : "");
    const isRunning = run.status === "running", atStart = run.step === (run.forked ?? 0);
    set(its.cells.rate, !isRunning ? "" : run.rate !== null ? rateOf(run.rate) : atStart ? "compiling" : "…");
    its.cells.rate.toggleAttribute("data-is-rate", isRunning && run.rate !== null);
    set(its.cells.time, isRunning && run.left !== null ? `${run.may_stop ? "at most " : ""}${clock(run.left)} left` : run.took !== null ? `took ${clock(run.took)}` : "");
    set(its.cells.train, percent(run.latest[0])); set(its.cells.val, percent(run.latest[1]));
    set(its.message, run.message);
    const times = Object.entries(run.milestones).filter(([, step]) => step !== null).map(([name, step]) => `${name} ${count(step)}`);
    const more = run.events.map((event) => /step [\d,]+$/.test(event.text) ? event.text : `${event.text} (step ${count(event.step)})`);
    set(its.happened, (run.message ? " " : "") + [...times, ...more].join(" · "));
  }

  function armOf(name) {
    if (arms.has(name)) return arms.get(name);
    const body = element("tbody"), row = body.appendChild(element("tr", "arm"));
    const head = row.appendChild(element("th")); head.colSpan = 9; head.scope = "rowgroup";
    const box = head.appendChild(element("input")); box.type = "checkbox"; box.setAttribute("aria-label", `Curves of all runs of ${name}`);
    const open = head.appendChild(element("button", "", name || "runs")); open.type = "button";
    const counted = head.appendChild(element("span", "count"));
    const arm = { name, body, box, open, counted, runs: [] };
    box.addEventListener("change", () => pick(arm.runs.map((run) => run.id), box.checked));
    open.addEventListener("click", () => { opened.set(name, open.getAttribute("aria-expanded") !== "true"); arrange(); });
    arms.set(name, arm);
    return arm;
  }
  function arrange() {
    for (const arm of arms.values()) arm.runs = [];
    for (const run of runs.values()) armOf(run.arm).runs.push(run);
    const newest = newestArm(), table = byId("table");
    const first = (arm) => Math.min(...arm.runs.map((run) => run.began ?? Infinity));
    const all = [...arms.values()].filter((arm) => { if (!arm.runs.length) { arm.body.remove(); arms.delete(arm.name); } return arm.runs.length; });
    const order = all.map((arm) => [first(arm), arm]).sort(([a, one], [b, other]) =>
      (isFinite(b) - isFinite(a)) || (isFinite(a) && b - a) || (one.name < other.name ? -1 : 1)).map(([, arm]) => arm);
    order.forEach((arm, i) => { if (table.tBodies[i] !== arm.body) table.insertBefore(arm.body, table.tBodies[i] ?? null); });
    for (const arm of order) {
      const isOpen = opened.get(arm.name) ?? (runs.size <= MOST_OPEN || arm.name === newest || arm.runs.some((run) => run.status === "running" || run.status === "failed"));
      arm.open.setAttribute("aria-expanded", String(isOpen));
      arm.runs.sort((a, b) => a.seed.localeCompare(b.seed, "en", { numeric: true }) || (a.id < b.id ? -1 : 1));
      arm.runs.forEach((run, i) => {
        const { row, box } = rows.get(run.id);
        if (arm.body.rows[i + 1] !== row) arm.body.insertBefore(row, arm.body.rows[i + 1] ?? null);
        row.hidden = !isOpen;
        box.checked = chosen.has(run.id);
      });
      const drawn = arm.runs.filter((run) => chosen.has(run.id)).length;
      arm.box.checked = drawn > 0 && drawn === arm.runs.length;
      arm.box.indeterminate = drawn > 0 && drawn < arm.runs.length;
      arm.box.disabled = !arm.runs.some(begun);
      set(arm.counted, `${count(arm.runs.filter((run) => run.status === "done").length)} of ${plural(arm.runs.length, "run")} done`);
    }
    byId("runs").hidden = byId("curves").hidden = !runs.size;
    byId("newest").setAttribute("aria-pressed", String(isAuto));
  }

  /* Seconds until all have ended, where as many go on side by side as now; those that are yet to begin take as
     long as those of their arm took, or as all did. Null where nothing says how long a run takes. */
  function leftOfAll() {
    const mean = (xs) => xs.length ? xs.reduce((sum, x) => sum + x, 0) / xs.length : null;
    const known = [...runs.values()], running = known.filter((run) => run.status === "running"), yet = known.filter((run) => run.status === "waiting");
    const lengths = (of) => [...of.filter((run) => run.status === "done" && run.took !== null).map((run) => run.took), ...of.filter((run) => run.status === "running" && run.rate).map((run) => run.steps / run.rate)];
    const typical = mean(lengths(known)), byArm = new Map();
    for (const run of yet) if (!byArm.has(run.arm)) byArm.set(run.arm, mean(lengths(known.filter((other) => other.arm === run.arm))) ?? typical);
    const times = [...running.map((run) => run.left), ...yet.map((run) => byArm.get(run.arm))];
    if (!running.length || times.length < 2 || times.some((time) => time === null)) return null;
    return times.reduce((sum, time) => sum + time, 0) / running.length;
  }
  function showState(inUse) {
    const by = (status) => [...runs.values()].filter((run) => run.status === status);
    const rate = by("running").reduce((sum, run) => sum + (run.rate ?? 0), 0);
    const told = [], left = leftOfAll();
    for (const status of ["running", "waiting", "not begun", "interrupted", "failed"]) if (by(status).length) told.push(`${count(by(status).length)} ${status}`);
    let text = !runs.size ? (inUse ? "No run has begun yet." : "No runs yet: they appear here when a command writes to this directory.")
      : `${count(by("done").length)} of ${plural(runs.size, "run")} done${told.length ? ", " + told.join(", ") : ""}${rate ? `; ${rateOf(rate)} steps/s` : ""}${inUse && left !== null ? `, about ${clock(left)} left` : ""}.`;
    if (runs.size && !inUse && by("interrupted").length) text += " Nobody is writing: the command that trained it resumes what was interrupted.";
    if (!isAll) text += " Still reading the store.";
    set(byId("state"), text);
    document.title = runs.size ? `${count(by("done").length)}/${count(runs.size)} ${byId("main").querySelector("h1").textContent}` : document.title;
  }
  function showWrong(lines) {
    const box = byId("wrong");
    if (box.dataset.said === lines.join("\n")) return;
    box.dataset.said = lines.join("\n");
    box.replaceChildren(...lines.map((line) => element("p", "problem", line)));
  }

  /* the charts */
  const accuracy = makeChart(byId("accuracy"), { font: looks.font, range: [-0.02, 1.02], percent: true, lift });
  const loss = makeChart(byId("loss"), { font: looks.font, lift });
  loss.yLog = true;

  function redraw() {
    if (dirty) return;
    dirty = true;
    setTimeout(() => { dirty = false; drawAll(); }, document.hidden ? 1000 : isChosenAnew ? 0 : 250);
    isChosenAnew = false;
  }
  function drawAll() {
    const its = [...chosen].map((id) => runs.get(id)).filter(Boolean);
    const names = [...new Set(its.map((run) => run.arm))].sort();
    const isOne = names.length <= 1;
    const lines = [[], []], marks = new Set();
    for (const run of its) {
      const curve = curves.get(run.id);
      if (!curve) continue;
      run.events.forEach((event) => { if (!event.text.startsWith("no_op")) marks.add(event.step); });
      ["train", "val"].forEach((side, i) => {
        if (!shown[side]) return;
        const colour = isOne ? looks.sides[side] : looks.series[names.indexOf(run.arm) % looks.series.length];
        const look = { run: run.id, side, colour, dash: !isOne && side === "train" ? [2, 3] : [], opacity: its.length > 8 ? 0.6 : 0.85, xs: curve.steps };
        [0, 1].forEach((chart) => lines[chart].push({ ...look, ys: curve.values[2 * chart + i] }));
      });
    }
    [accuracy, loss].forEach((chart, i) => { chart.lines = lines[i]; chart.marks = marks; chart.lifted = lifted; chart.draw(); });
    showLegend(names, isOne);
    set(byId("whose"), !its.length ? "No run is chosen" : isOne ? `${names[0]}: ${plural(its.length, "run")}` : `${plural(its.length, "run")} of ${count(names.length)} arms`);
    showLifted();
  }
  function showLegend(names, isOne) {
    const entries = isOne ? [["training", looks.sides.train, ""], ["validation", looks.sides.val, ""]].filter((_, i) => shown[["train", "val"][i]])
      : [...names.map((name, i) => [name, looks.series[i % looks.series.length], ""]), ["training is dotted, validation solid", "", ""]];
    const key = JSON.stringify(entries), box = byId("legend");
    if (box.dataset.said === key) return;
    box.dataset.said = key;
    box.replaceChildren(...entries.map(([name, colour]) => {
      const entry = element("span");
      if (colour) {
        const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), line = document.createElementNS("http://www.w3.org/2000/svg", "line");
        for (const [k, v] of Object.entries({ width: 22, height: 4, "aria-hidden": true })) svg.setAttribute(k, v);
        for (const [k, v] of Object.entries({ x1: 0, y1: 2, x2: 22, y2: 2, stroke: colour, "stroke-width": 3 })) line.setAttribute(k, v);
        svg.append(line); entry.append(svg);
      }
      entry.append(name);
      return entry;
    }));
  }
  function lift(to) {
    if (to?.run === lifted?.run && to?.step === lifted?.step) return;
    lifted = to;
    for (const chart of [accuracy, loss]) { chart.lifted = to; chart.draw(); }
    showLifted();
  }
  const HINT = byId("at-pointer").textContent;
  function showLifted() {
    const run = lifted && runs.get(lifted.run), curve = lifted && curves.get(lifted.run);
    const at = curve ? curve.steps.indexOf(lifted.step) : -1;
    if (!run || at < 0) { set(byId("at-pointer"), HINT); return; }
    const [ta, va, tl, vl] = curve.values.map((column) => column[at]);
    set(byId("at-pointer"), `${run.arm}, ${run.seed || short(run.id)}, step ${count(lifted.step)}: accuracy ${percent(ta) || "–"} training, ${percent(va) || "–"} validation; loss ${value(tl)} training, ${value(vl)} validation`);
  }

  /* buttons */
  for (const side of ["train", "val"]) byId("show-" + side).addEventListener("click", (event) => {
    shown[side] = !shown[side];
    event.currentTarget.setAttribute("aria-pressed", String(shown[side]));
    isChosenAnew = true; redraw();
  });
  document.querySelectorAll("[data-axis]").forEach((button) => button.addEventListener("click", () => {
    const isLog = button.dataset.scale === "log";
    if (button.dataset.axis === "x") accuracy.xLog = loss.xLog = isLog; else loss.yLog = isLog;
    document.querySelectorAll(`[data-axis=${button.dataset.axis}]`).forEach((each) => each.setAttribute("aria-pressed", String(each === button)));
    isChosenAnew = true; redraw();
  }));
  byId("newest").addEventListener("click", () => { isAuto = true; choose(); fetchCurves([]); arrange(); redraw(); });
  addEventListener("themed", () => { accuracy.draw(); loss.draw(); });

  /* the stream: a tab that nobody sees lets go of it, and takes it up where it was */
  function showLink(text, isLost) { set(byId("link"), text); byId("link").classList.toggle("lost", isLost); }
  function listen() {
    source?.close();
    source = new EventSource("/events?since=" + encodeURIComponent(lastId));
    source.addEventListener("open", () => showLink("live", false));
    source.addEventListener("error", () => {
      showLink("no answer, trying again", true);
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
    });
    source.addEventListener("news", (event) => hear(JSON.parse(event.data), false));
    source.addEventListener("all", (event) => hear(JSON.parse(event.data), true));
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { source?.close(); source = null; } else if (!source) listen();
  });
  hear(first, true);
  if (!document.hidden) listen();
})();
