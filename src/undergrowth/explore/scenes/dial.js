/* Accuracy and reach at the chosen dose, and the wait at every dose. */
drawings.dial = {
  height: (width) => Math.max(.8 * width, 340),
  sides: [["routed", "memorised", []], ["random", "general", [6, 3]]],
  dose: (view) => view.data.doses.reduce((best, dose) => Math.abs(dose - state.dose) < Math.abs(best - state.dose) ? dose : best),
  name: (reading, dose, side) => `${reading}|${state.decay ? "decay" : "no decay"}|${dose}|${dose ? side : "routed"}`,
  draw(view, c, width, height) {
    const left = 54, each = (height - 26 - 44 - 44) / 2, dose = this.dose(view);
    const upper = { x: left, y: 26, wide: width - left - 14, high: each }, lower = { ...upper, y: 26 + each + 66, high: each - 22 };
    const base = named(view, this.name("val_accuracy", 0));
    const last = (base ?? view.arrays[0]).steps.at(-1), scale = stepScale(upper, 0, last), at = shareAt(upper);
    axes(c, upper, scale, SHARES, at, { title: `held out: accuracy, at dose ${dose}` });
    const drawn = (array, colour, options) => { if (array) curve(c, array, scale, at, colour, { until: state.step, ...options }); };
    drawn(base, ink("soft"), { wide: 2 });
    for (const [side, colour, dash] of dose ? this.sides : []) {
      for (const array of view.arrays) {
        if (array.name === this.name("val_accuracy", dose, side) && array.seed !== seedOf(view)) drawn(array, ink(colour), { wide: 1, dash, faint: .12 });
      }
      drawn(named(view, this.name("val_accuracy", dose, side)), ink(colour), { wide: 3, dash });
    }
    cursor(c, upper, scale.at(state.step));
    scrubs(view, upper, scale);
    this.waits(view, c, lower, dose);
  },
  waits(view, c, box, chosen) {
    const waits = view.data.waits.filter((wait) => wait.decay === state.decay), doses = view.data.doses;
    const all = view.data.waits.map((wait) => Math.log10(wait.steps)), low = Math.floor(Math.min(...all)), high = Math.ceil(Math.max(...all));
    const at = (steps) => box.y + box.high * (1 - (Math.log10(steps) - low) / Math.max(high - low, 1));
    const place = (dose) => box.x + box.wide * (doses.indexOf(dose) + .5) / doses.length, wide = box.wide / doses.length;
    c.fillStyle = ink("control");
    c.fillRect(place(chosen) - wide / 2, box.y, wide, box.high);
    const ticks = [];
    for (let power = low; power <= high; power++) ticks.push([thousands(10 ** power), 10 ** power]);
    axes(c, box, { ticks: [] }, ticks, at, { title: "steps from memorised to grokked", x: "dose" });
    for (const dose of doses) words(c, String(dose), place(dose), box.y + box.high + 17, { align: "center", colour: dose === chosen ? "ink" : "soft", weight: dose === chosen ? 600 : 400 });
    for (const wait of waits) {
      const side = this.sides.find(([name]) => name === wait.side), off = !wait.dose ? 0 : wait.side === "routed" ? -18 : 18;
      const colour = wait.dose ? ink(side[1]) : ink("soft"), size = wait.seed === seedOf(view) ? 6 : 4;
      const x = place(wait.dose) + off + (view.seeds.indexOf(wait.seed) - (view.seeds.length - 1) / 2) * 4;
      c.beginPath(); c.arc(x, at(wait.steps), size, 0, 2 * Math.PI);
      c.fillStyle = wait.ended ? colour : ink("paper");
      c.strokeStyle = colour; c.lineWidth = 2; c.fill(); c.stroke();
    }
    view.spots.push({ ...{ x: box.x, y: box.y, wide: box.wide, high: box.high + 24 }, press: (x) => set({ dose: doses[Math.min(Math.floor((x - box.x) / wide), doses.length - 1)] }) });
  },
  says(view) {
    const dose = this.dose(view), told = [];
    for (const [side, called] of dose ? [["routed", "routed"], ["random", "as much lost"]] : [["routed", "undisturbed"]]) {
      const value = (reading) => { const array = named(view, this.name(reading, dose, side)); return array ? array.get(frameAt(array, state.step), 0) : NaN; };
      told.push(`${called}: held out ${percent(value("val_accuracy"))}, training ${percent(value("train_accuracy"))}, reach ${short(value("reach"))}`);
    }
    return `Step ${thousands(state.step)}, dose ${dose}, ${state.decay ? "decay" : "no decay"}; ${told.join("; ")}.`;
  },
  controls(view, controls) {
    const doses = view.data.doses, label = document.createElement("label"), slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, max: doses.length - 1, step: 1 });
    slider.setAttribute("aria-label", "Dose: the share of the gradient that is routed");
    slider.addEventListener("input", () => set({ dose: doses[Number(slider.value)] }));
    label.append("dose ", slider);
    view.refreshers.push(() => { slider.value = doses.indexOf(this.dose(view)); slider.setAttribute("aria-valuetext", "dose " + this.dose(view)); });
    controls.append(label);
    toggle(controls, view, "no decay", () => !state.decay, () => set({ decay: 0 }));
    toggle(controls, view, "decay", () => Boolean(state.decay), () => set({ decay: 1 }));
    for (const [name, colour] of [["routed", "memorised"], ["as much lost to nobody", "general"], ["dose 0", "soft"]]) {
      const key = document.createElement("span"), swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = "var(--" + colour + ")";
      key.append(swatch, name);
      controls.append(key);
    }
  },
};
