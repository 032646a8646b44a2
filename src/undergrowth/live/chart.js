"use strict";
/* A chart on a canvas: lines over steps, linear or log, redrawn at most once a frame. Steps are drawn as
   log(1 + step) on a log axis, so that step 0 is on it; values that a log axis has no place for are counted
   and said, never moved. */
function makeChart(canvas, options) {
  const padding = { left: 54, right: 12, top: 8, bottom: 38 };
  const chart = { lines: [], marks: [], xLog: false, yLog: false, lifted: null, unseen: 0 };
  let isDue = false, scales = null;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  function nice(span, most) {
    const rough = span / most, base = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map((m) => m * base).find((step) => step >= rough);
  }
  function linearTicks(low, high, most) {
    const step = nice(high - low || 1, most), ticks = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(i * step);
    return ticks;
  }
  /* powers of ten; over little more than one of them twice and five times each, too */
  function powers(low, high, most) {
    if (high / low < 50) {
      const tens = [...Array(4).keys()].map((i) => 10 ** (Math.floor(Math.log10(low)) + i));
      return tens.flatMap((ten) => [ten, 2 * ten, 5 * ten]).filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
    }
    const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
    const every = Math.max(1, Math.ceil((last - first + 1) / most)), ticks = [];
    for (let i = first; i <= last; i += every) ticks.push(10 ** i);
    return ticks;
  }
  const inWords = (x) => {
    if (x !== 0 && (Math.abs(x) < 1e-3 || Math.abs(x) >= 1e7)) return x.toExponential(0).replace("e+", "e").replace("-", "−");
    return (+x.toPrecision(6)).toLocaleString("en", { maximumFractionDigits: 6 });
  };

  function extent() {
    let last = 0, low = Infinity, high = -Infinity;
    chart.unseen = 0;
    for (const line of chart.lines) {
      const { xs, ys } = line;
      if (xs.length) last = Math.max(last, xs[xs.length - 1]);
      for (const y of ys) {
        if (y === null) continue;
        if (chart.yLog && y <= 0) { chart.unseen++; continue; }
        if (y < low) low = y;
        if (y > high) high = y;
      }
    }
    if (options.range) [low, high] = options.range;
    else if (low > high) [low, high] = chart.yLog ? [0.1, 1] : [0, 1];
    else if (chart.yLog) { low = low / 1.25; high = high * 1.25; }
    else { low = Math.min(0, low); high += (high - low || 1) * 0.04; }
    return { last: last || 1, low, high };
  }

  function makeScales(width, height) {
    const { last, low, high } = extent();
    const left = padding.left, right = width - padding.right, top = padding.top, bottom = height - padding.bottom;
    const fx = chart.xLog ? (x) => Math.log10(1 + x) : (x) => x;
    const fy = chart.yLog ? Math.log10 : (y) => y;
    const kx = (right - left) / fx(last), y0 = fy(low), ky = (bottom - top) / (fy(high) - y0 || 1);
    return { left, right, top, bottom, low, high, last,
      x: (x) => left + fx(x) * kx,
      y: (y) => bottom - (fy(y) - y0) * ky };
  }

  function axes(context, s) {
    const soft = colour("soft"), grid = colour("grid"), line = colour("line");
    context.font = "12px " + options.font;
    context.lineWidth = 1;
    const most = Math.max(2, Math.floor((s.right - s.left) / 80));
    const xTicks = chart.xLog ? [0, ...powers(1, Math.max(s.last, 1), most)] : linearTicks(0, s.last, most);
    let yTicks = chart.yLog ? powers(s.low, s.high, 7) : linearTicks(s.low, s.high, 6);
    if (chart.yLog && yTicks.length < 2) yTicks = linearTicks(s.low, s.high, 5).filter((y) => y > 0);
    context.textBaseline = "middle"; context.textAlign = "right";
    for (const y of yTicks) {
      const at = Math.round(s.y(y)) + 0.5;
      context.strokeStyle = grid; context.beginPath(); context.moveTo(s.left, at); context.lineTo(s.right, at); context.stroke();
      context.fillStyle = soft; context.fillText(options.percent ? Math.round(y * 100) + " %" : inWords(y), s.left - 8, at);
    }
    context.textBaseline = "top"; context.textAlign = "center";
    for (const x of xTicks) {
      const at = Math.round(s.x(x)) + 0.5;
      context.strokeStyle = line; context.beginPath(); context.moveTo(at, s.bottom); context.lineTo(at, s.bottom + 4); context.stroke();
      context.fillStyle = soft; context.fillText(inWords(x), Math.min(at, s.right - 8), s.bottom + 7);
    }
    context.strokeStyle = line; context.beginPath();
    context.moveTo(s.left + 0.5, s.top); context.lineTo(s.left + 0.5, s.bottom + 0.5); context.lineTo(s.right, s.bottom + 0.5); context.stroke();
    context.textAlign = "right"; context.textBaseline = "alphabetic"; context.fillStyle = soft;
    context.fillText(chart.xLog ? "step (log of 1 + step)" : "step", s.right, s.bottom + 32);
    if (chart.unseen) {
      context.textAlign = "left";
      context.fillText(`${chart.unseen.toLocaleString("en")} ${chart.unseen === 1 ? "value is" : "values are"} 0: not on a log axis`, s.left, s.bottom + 32);
    }
  }

  /* of the points in one column of pixels only the first, lowest, highest and last are drawn */
  function trace(context, line, s) {
    context.beginPath();
    let column = -1, isDown = false, low = 0, high = 0, last = 0;
    const flush = () => { if (column >= 0) { context.lineTo(column, low); context.lineTo(column, high); context.lineTo(column, last); } };
    for (let i = 0; i < line.xs.length; i++) {
      const value = line.ys[i];
      if (value === null || (chart.yLog && value <= 0)) { flush(); column = -1; isDown = false; continue; }
      const x = Math.round(s.x(line.xs[i]) * 2) / 2, y = s.y(value);
      if (x !== column) {
        flush();
        if (isDown) context.lineTo(x, y); else context.moveTo(x, y);
        isDown = true; column = x; low = high = last = y;
      } else { low = Math.min(low, y); high = Math.max(high, y); last = y; }
    }
    flush();
    context.stroke();
  }

  function draw() {
    isDue = false;
    const width = canvas.clientWidth, height = canvas.clientHeight, ratio = devicePixelRatio || 1;
    if (!width || !height) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    scales = makeScales(width, height);
    axes(context, scales);
    context.save();
    context.beginPath(); context.rect(scales.left, scales.top - 3, scales.right - scales.left + 3, scales.bottom - scales.top + 6); context.clip();
    context.strokeStyle = colour("line"); context.setLineDash([3, 3]);
    for (const step of chart.marks) {
      const at = Math.round(scales.x(step)) + 0.5;
      context.beginPath(); context.moveTo(at, scales.top); context.lineTo(at, scales.bottom); context.stroke();
    }
    const lifted = chart.lifted?.run ?? null;
    const order = lifted === null ? chart.lines : [...chart.lines].sort((a, b) => (a.run === lifted) - (b.run === lifted));
    for (const line of order) {
      context.strokeStyle = line.colour; context.setLineDash(line.dash);
      context.globalAlpha = lifted === null ? line.opacity : line.run === lifted ? 1 : 0.18;
      context.lineWidth = line.run === lifted ? 2.2 : 1.5;
      trace(context, line, scales);
    }
    context.globalAlpha = 1; context.setLineDash([]);
    if (chart.lifted !== null) {
      const at = Math.round(scales.x(chart.lifted.step)) + 0.5;
      context.strokeStyle = colour("ink"); context.lineWidth = 1; context.globalAlpha = 0.5;
      context.beginPath(); context.moveTo(at, scales.top); context.lineTo(at, scales.bottom); context.stroke();
    }
    context.restore();
  }

  function nearest(px, py) {
    if (!scales) return null;
    let best = null;
    for (const line of chart.lines) {
      const i = closest(line.xs, px, (step) => scales.x(step));
      if (i < 0 || line.ys[i] === null || (chart.yLog && line.ys[i] <= 0)) continue;
      const far = Math.hypot(scales.x(line.xs[i]) - px, scales.y(line.ys[i]) - py);
      if (best === null || far < best.far) best = { far, run: line.run, step: line.xs[i] };
    }
    return best !== null && best.far < 60 ? best : null;
  }

  chart.draw = () => { if (!isDue) { isDue = true; requestAnimationFrame(draw); } };
  chart.place = (step, value) => scales && { x: scales.x(step), y: scales.y(value) };
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    options.lift(nearest(event.clientX - box.left, event.clientY - box.top));
  });
  canvas.addEventListener("pointerleave", () => options.lift(null));
  canvas.addEventListener("blur", () => options.lift(null));
  canvas.addEventListener("keydown", (event) => {
    const moved = moveBy(event.key, chart.lines, chart.lifted);
    if (moved === undefined) return;
    event.preventDefault();
    options.lift(moved);
  });
  new ResizeObserver(chart.draw).observe(canvas);
  return chart;
}

/* the position in ascending xs whose place is the nearest to a pixel; -1 where there is none */
function closest(xs, px, place) {
  let low = 0, high = xs.length - 1;
  if (high < 0) return -1;
  while (high - low > 1) { const middle = (low + high) >> 1; if (place(xs[middle]) < px) low = middle; else high = middle; }
  return Math.abs(place(xs[low]) - px) <= Math.abs(place(xs[high]) - px) ? low : high;
}

/* where a key leads: along a run's steps, or to the same step of the next run; null lets go */
function moveBy(key, lines, from) {
  const runs = [...new Set(lines.map((line) => line.run))];
  if (key === "Escape") return null;
  if (!["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(key) || !runs.length) return undefined;
  const run = from === null || !runs.includes(from.run) ? runs[0] : from.run;
  const upDown = { ArrowUp: -1, ArrowDown: 1 }[key] ?? 0;
  const other = runs[(runs.indexOf(run) + (from === null ? 0 : upDown) + runs.length) % runs.length];
  const xs = lines.find((line) => line.run === other).xs;
  if (!xs.length) return null;
  const at = from === null ? xs.length - 1 : closest(xs, from.step, (x) => x);
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: xs.length - 1 }[key] ?? at;
  return { run: other, step: xs[from === null && key !== "Home" ? at : Math.max(0, Math.min(xs.length - 1, to))] };
}
