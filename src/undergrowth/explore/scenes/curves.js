/* Accuracy and loss over steps. */
drawings.curves = {
  height: (width) => Math.max(.78 * width, 320),
  draw(view, c, width, height) {
    const small = width < 480, gap = 46, left = small ? 46 : 56;
    const each = (height - 26 - gap - 40) / 2;
    const upper = { x: left, y: 26, wide: width - left - 14, high: each };
    const lower = { x: left, y: 26 + each + gap - 14, wide: width - left - 14, high: each };
    const last = named(view, "val_accuracy").steps.at(-1);
    const scale = stepScale(upper, 0, last);
    const at = shareAt(upper);
    axes(c, upper, scale, SHARES, at, { title: "accuracy", showsX: false });
    const [low, high] = this.ends(view);
    const lossAt = (value) => lower.y + lower.high * (1 - (Math.log10(Math.max(value, low)) - Math.log10(low)) / (Math.log10(high) - Math.log10(low)));
    const powers = [];
    for (let power = Math.ceil(Math.log10(low)); power <= Math.log10(high); power++) powers.push(power);
    const every = Math.ceil(powers.length / 5);
    axes(c, lower, scale, powers.filter((power) => power % every === 0).map((power) => [power === 0 ? "1" : "10" + raised(power), 10 ** power]), lossAt, { title: "loss (logarithmic)" });
    const marks = view.data.events[seedOf(view)];
    for (const [name, step] of Object.entries(marks)) {
      const x = scale.at(step);
      c.strokeStyle = ink("line");
      c.setLineDash([2, 3]);
      c.beginPath(); c.moveTo(x, upper.y); c.lineTo(x, lower.y + lower.high); c.stroke();
      c.setLineDash([]);
      c.save();
      c.translate(x - 4, upper.y + upper.high * .5);
      c.rotate(-Math.PI / 2);
      words(c, name, 0, 0, { align: "center", size: 11 });
      c.restore();
    }
    for (const [side, dash] of [["train", []], ["val", [6, 3]]]) {
      for (const [reading, yAt, box] of [["accuracy", at, upper], ["loss", lossAt, lower]]) {
        const array = named(view, side + "_" + reading);
        curve(c, array, scale, yAt, ink(side), { until: state.step, dash });
        const frame = frameAt(array, state.step);
        dot(c, scale.at(array.steps[frame]), yAt(array.get(frame, 0)), ink(side));
      }
    }
    cursor(c, { x: upper.x, y: upper.y, high: lower.y + lower.high - upper.y }, scale.at(state.step));
    words(c, "training", width - 14 - 66, 14, { colour: "train", align: "right", weight: 600 });
    words(c, "held out", width - 14, 14, { colour: "val", align: "right", weight: 600 });
    scrubs(view, { ...upper, high: lower.y + lower.high - upper.y }, scale);
  },
  ends(view) {
    let low = Infinity, high = 0;
    for (const array of view.arrays) {
      if (!array.name.endsWith("loss")) continue;
      for (let frame = 0; frame < array.steps.length; frame++) {
        const value = array.get(frame, 0);
        if (value > 0) { low = Math.min(low, value); high = Math.max(high, value); }
      }
    }
    return [low, high];
  },
  says(view) {
    const value = (name) => { const array = named(view, name); return array.get(frameAt(array, state.step), 0); };
    const step = named(view, "val_accuracy").steps[frameAt(named(view, "val_accuracy"), state.step)];
    return `Step ${thousands(step)}: training ${percent(value("train_accuracy"))} right, loss ${short(value("train_loss"))}; held out ${percent(value("val_accuracy"))} right, loss ${short(value("val_loss"))}.`;
  },
  controls(view, controls) {
    toggle(controls, view, "logarithmic", () => state.axis === "log", () => set({ axis: "log" }));
    toggle(controls, view, "linear", () => state.axis === "linear", () => set({ axis: "linear" }));
  },
};
