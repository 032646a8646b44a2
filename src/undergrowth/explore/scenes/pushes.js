/* Bars by group of neurons, and the table of what the next update does through the chosen group. */
drawings.pushes = {
  height: (width) => width < 480 ? 340 : width * .6,
  group(view) {
    const groups = view.data.groups[seedOf(view)];
    return state.group >= 0 && state.group < groups.length ? state.group : groups.length;
  },
  draw(view, c, width, height) {
    const isSmall = width < 480, groups = view.data.groups[seedOf(view)], chosen = this.group(view);
    const box = { x: isSmall ? 40 : 52, y: 40, wide: width * (isSmall ? .5 : .52) - (isSmall ? 44 : 60), high: height - 78 };
    const bars = named(view, "bars"), sharing = named(view, "sharing"), frame = frameAt(bars, state.step);
    const loss = named(view, "loss"), value = (group, part, side) => bars.get(frame, (group * 2 + part) * 2 + side) / loss.get(frame, side);
    const n = groups.length + 1;
    let most = 0, least = 0;
    for (let g = 0; g < n; g++) for (let part = 0; part < 2; part++) for (let side = 0; side < 2; side++) {
      most = Math.max(most, value(g, part, side)); least = Math.min(least, value(g, part, side));
    }
    const span = most - least || 1;
    const xAt = (v) => box.x + box.wide * (v - least) / span;
    const each = box.high / n;
    words(c, "share of the loss that an update takes away", box.x - 30, 14, { colour: "ink", weight: 600, size: isSmall ? 10.5 : 12 });
    words(c, "trained on", box.x - 30, 30, { colour: "train", weight: 600, size: 11 });
    words(c, "held out", box.x + 42, 30, { colour: "val", weight: 600, size: 11 });
    words(c, "pale: decay", box.x + 102, 30, { colour: "soft", weight: 600, size: 11 });
    c.strokeStyle = ink("line"); c.lineWidth = 1;
    c.beginPath(); c.moveTo(Math.round(xAt(0)) + .5, box.y); c.lineTo(Math.round(xAt(0)) + .5, box.y + box.high); c.stroke();
    for (let g = 0; g < n; g++) {
      const y = box.y + g * each, thick = Math.min(each * .3, 11);
      if (g === chosen) { c.fillStyle = ink("control"); c.fillRect(0, y, box.x + box.wide + 6, each); }
      words(c, g < groups.length ? (groups[g] ? String(groups[g]) : "none") : "all", box.x - 8, y + each / 2, { align: "right", base: "middle", colour: g === chosen ? "ink" : "soft", weight: g === chosen ? 600 : 400 });
      const thin = thick * .4;
      for (const [part, side, at, high] of [[0, 0, 0, thick], [1, 0, thick, thin], [0, 1, thick + thin, thick], [1, 1, 2 * thick + thin, thin]]) {
        const v = value(g, part, side), top = y + (each - 2.8 * thick) / 2 + at;
        c.fillStyle = ink(side ? "val" : "train");
        c.globalAlpha = part ? .45 : 1;
        c.fillRect(Math.min(xAt(0), xAt(v)), top, Math.max(Math.abs(xAt(v) - xAt(0)), .5), high);
      }
      c.globalAlpha = 1;
      view.spots.push({ x: 0, y, wide: box.x + box.wide, high: each, press: (x, y_, kind) => { if (kind === "pointerdown") set({ group: g === groups.length ? -1 : g }); } });
    }
    c.strokeStyle = ink("line");
    c.beginPath(); c.moveTo(box.x, box.y + box.high + .5); c.lineTo(box.x + box.wide, box.y + box.high + .5); c.stroke();
    words(c, "0", xAt(0), box.y + box.high + 16, { align: "center", size: 11 });
    words(c, percentOf(most), box.x + box.wide, box.y + box.high + 16, { align: "right", size: 11 });
    words(c, isSmall ? "frequency" : "by final frequency", box.x - (isSmall ? 38 : 44), box.y + box.high + 32, { size: 11 });
    this.table(view, c, { x: width * (isSmall ? .5 : .52) + 6, y: 40, wide: width * (isSmall ? .5 : .48) - 8, high: height - 78 }, chosen, sharing.get(frame, chosen));
  },
  table(view, c, box, group, sharing) {
    const facts = view.data.cells[seedOf(view)], size = facts.p ** 2;
    const sides = ["train", "val"].map((side) => named(view, "push " + side + " " + group)), frame = frameAt(sides[0], state.step);
    const most = sides.map((side) => {
      let found = 1e-12;
      for (let cell = 0; cell < size; cell++) found = Math.max(found, Math.abs(side.get(frame, cell)) || 0);
      return found;
    });
    const [up, down, paper] = ["general", "memorised", "wrong"].map(ink);
    const grid = cellsIn(c, box, facts, (cell) => {
      const side = facts.heldOut[cell], value = sides[side].get(frame, cell) / most[side];
      return shade(paper, value > 0 ? up : down, Math.sqrt(Math.abs(value) || 0));
    });
    chooses(view, c, grid, facts);
    words(c, `shared by ${sharing.toFixed(0)} examples`, grid.left, grid.top - 8, { colour: "ink", size: 11 });
    words(c, "helped", grid.left, grid.top + grid.size * grid.p + 16, { colour: "general", weight: 600, size: 11 });
    words(c, "hurt", grid.left + 48, grid.top + grid.size * grid.p + 16, { colour: "memorised", weight: 600, size: 11 });
  },
  says(view) {
    const groups = view.data.groups[seedOf(view)], g = this.group(view), bars = named(view, "bars"), frame = frameAt(bars, state.step);
    const loss = named(view, "loss"), value = (part, side) => percentOf(bars.get(frame, (g * 2 + part) * 2 + side) / loss.get(frame, side));
    const name = g < groups.length ? (groups[g] ? `neurons of frequency ${groups[g]}` : "neurons of no frequency") : "all neurons";
    const facts = view.data.cells[seedOf(view)], example = facts.heldOut[state.example] >= 0 ? state.example : -1;
    const its = example < 0 ? null : named(view, "push " + ["train", "val"][facts.heldOut[example]] + " " + g);
    const one = its ? ` Example ${Math.floor(example / facts.p)}, ${example % facts.p}: its loss falls by ${short(its.get(frameAt(its, state.step), example))}.` : "";
    return `Step ${thousands(bars.steps[frame])}, through ${name}: the gradient lowers the loss trained on by ${value(0, 0)}, that held out by ${value(0, 1)}; decay by ${value(1, 0)} and ${value(1, 1)}.` + one;
  },
};
const percentOf = (share) => short(100 * share) + " %";
