/* The margin as two layers, and each example's share in the table. */
drawings.race = {
  height: (width) => width < 480 ? 340 : width * .56,
  draw(view, c, width, height) {
    const isSmall = width < 480;
    const left = isSmall ? { x: 42, y: 24, wide: width * .5 - 48, high: height - 64 } : { x: 44, y: 26, wide: width * .5 - 56, high: height - 72 };
    const whole = named(view, "whole"), general = named(view, "general"), n = whole.steps.length;
    let top = 1e-9;
    for (let frame = 0; frame < n; frame++) top = Math.max(top, whole.get(frame, 0), general.get(frame, 0));
    const scale = stepScale(left, 0, whole.steps.at(-1));
    const upper = { ...left, high: left.high * .56 }, lower = { ...left, y: left.y + left.high * .7, high: left.high * .3 };
    const yAt = (value) => upper.y + upper.high * (1 - Math.max(value, 0) / top);
    const apart = niceApart(top, 4), ticks = [];
    for (let tick = 0; tick <= top; tick += apart) ticks.push([String(tick), tick]);
    axes(c, upper, scale, ticks, yAt, { title: "centred logit", showsX: false });
    const area = (low, high, colour) => {
      for (const [until, alpha] of [[whole.steps.at(-1), .25], [state.step, .9]]) {
        c.beginPath();
        let last = -1;
        for (let f = 0; f < n && whole.steps[f] <= until; f++) { c.lineTo(scale.at(whole.steps[f]), yAt(high(f))); last = f; }
        for (let f = last; f >= 0; f--) c.lineTo(scale.at(whole.steps[f]), yAt(low(f)));
        c.globalAlpha = alpha; c.fillStyle = colour; c.fill(); c.globalAlpha = 1;
      }
    };
    area(() => 0, (f) => general.get(f, 0), ink("general"));
    area((f) => general.get(f, 0), (f) => Math.max(whole.get(f, 0), general.get(f, 0)), ink("memorised"));
    words(c, "memorised", upper.x + 8, upper.y + 14, { colour: "memorised", weight: 600 });
    words(c, "general", upper.x + 8, upper.y + 30, { colour: "general", weight: 600 });
    const shareBox = shareAt(lower);
    axes(c, lower, scale, [["0", 0], ["100 %", 1]], (v) => shareBox(Math.min(Math.max(v, 0), 1)), { title: "general share" });
    const clipped = (v) => shareBox(Math.min(Math.max(v, 0), 1));
    const control = named(view, "control share");
    if (control) curve(c, control, scale, clipped, ink("soft"), { dash: [2, 3], wide: 1 });
    const lookUp = view.data.lookUp[seedOf(view)];
    c.strokeStyle = ink("soft"); c.lineWidth = 1; c.setLineDash([7, 4]);
    c.beginPath(); c.moveTo(lower.x, clipped(lookUp)); c.lineTo(lower.x + lower.wide, clipped(lookUp)); c.stroke();
    c.setLineDash([]);
    const share = named(view, "share");
    curve(c, share, scale, clipped, ink("general"), { until: state.step });
    const frame = frameAt(share, state.step);
    if (Number.isFinite(share.get(frame, 0))) dot(c, scale.at(share.steps[frame]), clipped(share.get(frame, 0)), ink("general"));
    cursor(c, left, scale.at(state.step));
    scrubs(view, left, scale);
    this.table(view, c, { x: width * .5 + 6, y: isSmall ? 24 : 26, wide: width * .5 - 8, high: height - (isSmall ? 64 : 72) });
  },
  table(view, c, box) {
    const facts = view.data.cells[seedOf(view)], share = named(view, "cell share"), correct = named(view, "correct");
    const frame = frameAt(share, state.step), right = frameAt(correct, state.step);
    const [from, to, wrong, val, paper] = ["memorised", "general", "wrong", "val", "paper"].map(ink);
    const grid = cellsIn(c, box, facts, (cell) => {
      if (facts.heldOut[cell]) return correct.get(right, cell) > .5 ? shade(paper, val, .55) : wrong;
      const value = share.get(frame, cell);
      return Number.isFinite(value) ? diverging(from, to, Math.min(Math.max(value, 0), 1)) : wrong;
    });
    chooses(view, c, grid, facts);
    const y = grid.top + grid.size * grid.p + 18, wide = Math.min(90, box.wide * .25);
    for (let i = 0; i < 10; i++) { c.fillStyle = diverging(from, to, i / 9); c.fillRect(grid.left + i * wide / 10, y - 9, wide / 10 + .5, 9); }
    words(c, "memorised → general", grid.left + wide + 8, y, { size: 11 });
  },
  says(view) {
    const share = named(view, "share"), frame = frameAt(share, state.step), whole = named(view, "whole"), control = named(view, "control share");
    const facts = view.data.cells[seedOf(view)], cells = named(view, "cell share"), at = frameAt(cells, state.step), correct = named(view, "correct");
    const value = state.example >= 0 ? cells.get(at, state.example) : NaN;
    const its = exampleSays(facts, (cell) => correct.get(frameAt(correct, state.step), cell) > .5);
    const beside = `; a mere look-up ${percent(view.data.lookUp[seedOf(view)])}` + (control ? `, with shuffled labels ${percent(control.get(frameAt(control, state.step), 0))}` : "");
    return `Step ${thousands(share.steps[frame])}: mean centred logit ${short(whole.get(frame, 0))}, of it general ${percent(share.get(frame, 0))}${beside}.${its}${its && Number.isFinite(value) ? ` General share of it: ${Math.round(100 * value)} %.` : ""}`;
  },
};
