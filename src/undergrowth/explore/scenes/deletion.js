/* Accuracy over k, at a step; k is the slider's. */
let side = "val";
drawings.deletion = {
  height: (width) => Math.max(width * .58, 280),
  of(view, strategy, k, frame) {
    const array = named(view, "accuracy"), { side: sides, strategy: ways, k: ks } = array.labels;
    return array.get(frame, (sides.indexOf(side) * ways.length + ways.indexOf(strategy)) * ks.length + ks.indexOf(k));
  },
  k(view) {
    return named(view, "accuracy").labels.k.reduce((best, k) => Math.abs(k - state.k) < Math.abs(best - state.k) ? k : best);
  },
  draw(view, c, width, height) {
    const box = { x: 52, y: 26, wide: width - 70, high: height - 72 }, array = named(view, "accuracy");
    const ks = array.labels.k, frame = frameAt(array, state.step), at = shareAt(box), chosen = this.k(view);
    const xAt = (k) => box.x + box.wide * Math.log2(k + 1) / Math.log2(ks.at(-1) + 1);
    const ticks = ks.filter((k, i) => i === 0 || xAt(k) - xAt(ks[i - 1]) > 16);
    axes(c, box, { ticks: ticks.map((k) => [k, xAt(k)]) }, SHARES, at, { title: "accuracy on " + (side === "val" ? "held-out" : "training") + " examples", x: "k, neurons deleted" });
    const dashes = { top: [], random: [6, 3], least: [2, 3], norm_matched: [8, 3, 2, 3] };
    for (const strategy of Object.keys(view.data.names)) {
      c.strokeStyle = ink(view.data.colours[strategy]);
      c.lineWidth = strategy === "top" ? 3 : 2;
      c.setLineDash(dashes[strategy]);
      c.beginPath();
      let on = false;
      for (const k of ks) {
        const value = this.of(view, strategy, k, frame);
        if (!Number.isFinite(value)) { on = false; continue; }
        if (on) c.lineTo(xAt(k), at(value)); else c.moveTo(xAt(k), at(value));
        on = true;
      }
      c.stroke();
      c.setLineDash([]);
      const value = this.of(view, strategy, chosen, frame);
      if (Number.isFinite(value)) dot(c, xAt(chosen), at(value), ink(view.data.colours[strategy]), 5);
    }
    cursor(c, box, xAt(chosen));
    view.spots.push({ x: box.x - 10, y: box.y, wide: box.wide + 20, high: box.high + 40, press: (x) => {
      set({ k: ks.reduce((best, k) => Math.abs(xAt(k) - x) < Math.abs(xAt(best) - x) ? k : best) });
    } });
  },
  says(view) {
    const frame = frameAt(named(view, "accuracy"), state.step), k = this.k(view);
    const told = Object.entries(view.data.names).map(([strategy, name]) => [name, this.of(view, strategy, k, frame)]);
    return `Step ${thousands(named(view, "accuracy").steps[frame])}, without k = ${k} neurons: ` + told.map(([name, value]) => `${name} ${Number.isFinite(value) ? percent(value) : "none to be had"}`).join(", ") + `; whole ${percent(this.of(view, "top", 0, frame))}.`;
  },
  controls(view, controls) {
    const ks = named(view, "accuracy").labels.k, label = document.createElement("label"), slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, max: ks.length - 1, step: 1 });
    slider.setAttribute("aria-label", "k, neurons deleted");
    slider.addEventListener("input", () => set({ k: ks[Number(slider.value)] }));
    label.append("k ", slider);
    view.refreshers.push(() => { slider.value = ks.indexOf(this.k(view)); slider.setAttribute("aria-valuetext", "k = " + this.k(view)); });
    controls.append(label);
    for (const [name, says] of [["val", "held out"], ["train", "training"]]) {
      toggle(controls, view, says, () => side === name, () => { side = name; schedule(); });
    }
    for (const [strategy, name] of Object.entries(view.data.names)) {
      const key = document.createElement("span"), swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = "var(--" + view.data.colours[strategy] + ")";
      key.append(swatch, name);
      controls.append(key);
    }
  },
};
