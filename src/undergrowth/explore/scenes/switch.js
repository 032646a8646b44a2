/* The trunk once, and the arms from the step at which they branch off. */
drawings.switch = {
  height: (width) => Math.max(.7 * width, 320),
  arms(view) {
    const there = Object.keys(view.data.forkedAt[seedOf(view)] ?? {});
    const found = view.data.arms.filter((arm) => there.includes(arm) && arm.endsWith(" at " + state.switch));
    return found.length ? found : view.data.arms.filter((arm) => there.includes(arm) && arm.endsWith(" at " + this.places(view)[0]));
  },
  places: (view) => [...new Set(view.data.arms.map((arm) => arm.split(" at ").at(-1)))],
  colour: (view, arm, arms) => arm.startsWith("no-op") ? ink("ink") : ink("arm" + (arms.filter((each) => !each.startsWith("no-op")).indexOf(arm) % 8)),
  draw(view, c, width, height) {
    const arms = this.arms(view), forks = view.data.forkedAt[seedOf(view)], fork = forks[arms[0]];
    const gap = 40, each = (height - 26 - gap - 42) / 2, left = 52;
    const upper = { x: left, y: 26, wide: width - left - 14, high: each };
    const lower = { ...upper, y: 26 + each + gap };
    const last = named(view, "val_accuracy|").steps.at(-1), aligned = state.align === "switch";
    const scale = aligned ? stepScale(upper, 0, last - fork, { since: fork }) : stepScale(upper, 0, last);
    for (const [box, reading, title] of [[upper, "val_accuracy", "held out: accuracy"], [lower, "train_accuracy", "training: accuracy"]]) {
      const at = shareAt(box);
      axes(c, box, scale, SHARES, at, { title, showsX: box === lower, x: aligned ? "steps since the switch" : "training step" });
      const x = scale.at(fork);
      c.strokeStyle = ink("line"); c.setLineDash([2, 3]);
      c.beginPath(); c.moveTo(x, box.y); c.lineTo(x, box.y + box.high); c.stroke();
      c.setLineDash([]);
      if (!aligned) this.trunk(view, c, named(view, reading + "|"), scale, at, fork);
      for (const arm of [...arms.filter((each) => each !== state.arm), ...arms.filter((each) => each === state.arm)]) {
        const array = named(view, reading + "|" + arm), colour = this.colour(view, arm, arms), isChosen = arm === state.arm;
        const dash = /^(no-op|lr × [\d.]+) at /.test(arm) ? [] : [7, 3];
        c.globalAlpha = 1;
        curve(c, array, scale, at, colour, { until: state.step, wide: isChosen ? 3.4 : 1.6, dash, faint: isChosen ? .3 : .16 });
        if (isChosen && array.steps[0] <= state.step) {
          const frame = frameAt(array, state.step);
          dot(c, scale.at(array.steps[frame]), at(array.get(frame, 0)), colour, 5);
        }
      }
    }
    if (!aligned || state.step >= fork) cursor(c, { ...upper, high: lower.y + lower.high - upper.y }, scale.at(state.step));
    words(c, aligned ? "" : "switch", scale.at(fork) - 4, upper.y + 10, { align: "right", size: 11 });
    scrubs(view, { ...upper, high: lower.y + lower.high - upper.y }, scale);
  },
  trunk(view, c, array, scale, at, fork) {
    c.strokeStyle = ink("soft"); c.lineWidth = 2.4;
    for (const [until, alpha] of [[fork, .3], [Math.min(fork, state.step), 1]]) {
      c.globalAlpha = alpha;
      c.beginPath();
      for (let frame = 0; frame < array.steps.length && array.steps[frame] <= until; frame++) c.lineTo(scale.at(array.steps[frame]), at(array.get(frame, 0)));
      c.stroke();
    }
    c.globalAlpha = 1;
  },
  says(view) {
    const arms = this.arms(view), forks = view.data.forkedAt[seedOf(view)], arm = arms.includes(state.arm) ? state.arm : arms[0];
    const value = (reading) => {
      const own = named(view, reading + "|" + arm), array = own.steps[0] <= state.step ? own : named(view, reading + "|");
      return percent(array.get(frameAt(array, state.step), 0));
    };
    const grokked = view.data.grokked[seedOf(view)][arm], since = grokked === null ? "does not reach 99 %" : `reaches 99 % ${thousands(grokked - forks[arm])} steps after the switch`;
    return `Step ${thousands(state.step)}, ${arm} (step ${thousands(forks[arm])}): held out ${value("val_accuracy")}, training ${value("train_accuracy")}; it ${since}.`;
  },
  controls(view, controls) {
    for (const arm of view.data.arms) {
      const button = toggle(controls, view, arm.split(" at ")[0], () => state.arm === arm, () => set({ arm: state.arm === arm ? "" : arm }));
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      button.prepend(swatch);
      view.refreshers.push(() => { const arms = this.arms(view); button.hidden = !arms.includes(arm); swatch.style.background = this.colour(view, arm, arms); });
    }
    const places = this.places(view);
    for (const place of places.length > 1 ? places : []) toggle(controls, view, "at " + place, () => this.arms(view)[0]?.endsWith(" at " + place), () => {
      const same = state.arm.split(" at ")[0] + " at " + place;
      set({ switch: place, arm: view.data.arms.includes(same) ? same : "" });
    });
    toggle(controls, view, "aligned at the switch", () => state.align === "switch", () => set({ align: state.align === "switch" ? "step" : "switch" }));
  },
};
