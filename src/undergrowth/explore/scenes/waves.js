/* Neurons as small curves, group by group; behind each the best cosine of its group's frequency. */
drawings.waves = {
  height: (width) => width < 480 ? width * 1.05 : width * .8,
  draw(view, c, width, height) {
    const wave = named(view, "wave"), share = named(view, "share"), groups = view.data.groups[seedOf(view)];
    const frame = frameAt(wave, state.step), n = wave.shape[0], nX = wave.shape[1];
    const shareFrame = frameAt(share, state.step), tuned = view.data.tuned;
    const chosen = state.neuron >= 0 && state.neuron < n ? state.neuron : -1;
    const room = chosen >= 0 ? Math.min(110, height * .28) : 0;
    const places = this.places(groups, width, height - room);
    let most = 1e-9;
    for (let i = 0; i < n * nX; i++) most = Math.max(most, Math.abs(wave.get(frame, i)) || 0);
    for (const heading of places.headings) words(c, heading.text, heading.x, heading.y, { size: width < 480 ? 9.5 : 11, colour: heading.colour, weight: 600 });
    const { wide, high } = places;
    for (const { neuron, x, y } of places.tiles) {
      const group = groups.ofNeuron[neuron], colour = group ? ink("arm" + groups.frequencies.indexOf(group) % 8) : ink("soft");
      const box = { x: x + 4, y: y + 2, wide: wide - 8, high: high - 4 };
      if (neuron === chosen) { c.strokeStyle = ink("ink"); c.lineWidth = 1.5; c.strokeRect(x + .5, y + .5, wide - 1, high - 1); }
      this.wave(c, box, wave, frame, neuron, group, colour, most, share.get(shareFrame, neuron) >= tuned);
    }
    view.spots.push({ x: 0, y: 0, wide: width, high: height - room, press: (x, y, kind) => {
      const tile = places.tiles.find((each) => x >= each.x && x < each.x + wide && y >= each.y && y < each.y + high);
      if (tile && kind === "pointerdown") set({ neuron: tile.neuron === state.neuron ? -1 : tile.neuron });
    } });
    if (chosen >= 0) {
      const group = groups.ofNeuron[chosen], box = { x: 8, y: height - room + 22, wide: width - 16, high: room - 26 };
      const colour = group ? ink("arm" + groups.frequencies.indexOf(group) % 8) : ink("soft");
      words(c, `neuron ${chosen}: what it reads of x` + (state.order === "wound" && group ? `, in the order of ${group} x mod ${nX}` : ` = 0 to ${nX - 1}`), 8, height - room + 14, { colour: "ink", size: 11 });
      c.strokeStyle = ink("grid"); c.lineWidth = 1;
      c.beginPath(); c.moveTo(box.x, box.y + box.high / 2); c.lineTo(box.x + box.wide, box.y + box.high / 2); c.stroke();
      this.wave(c, box, wave, frame, chosen, group, colour, most, true, 3);
    }
  },
  wave(c, box, wave, frame, neuron, group, colour, most, isTuned, thick = 2) {
    const nX = wave.shape[1], middle = box.y + box.high / 2, half = box.high / 2 / most, from = neuron * nX;
    const isWound = state.order === "wound" && group > 0 && inverse(group, nX) > 0;
    const xAt = (x) => box.x + box.wide * x / (nX - 1);
    const along = (place) => isWound ? place * inverse(group, nX) % nX : place;
    if (group) {
      let cos = 0, sin = 0;
      for (let x = 0; x < nX; x++) {
        const value = wave.get(frame, from + x), turn = 2 * Math.PI * group * x / nX;
        cos += value * Math.cos(turn); sin += value * Math.sin(turn);
      }
      c.strokeStyle = ink("soft"); c.globalAlpha = .35;
      const fit = new Path2D();
      const n = Math.min(nX * 4, Math.ceil(box.wide / 1.5));
      for (let i = 0; i <= n; i++) {
        const x = (nX - 1) * i / n, turn = 2 * Math.PI * (isWound ? 1 : group) * x / nX;
        const y = middle - half * 2 / nX * (cos * Math.cos(turn) + sin * Math.sin(turn));
        fit.lineTo(xAt(x), y);
      }
      strokes(c, fit, 1);
    }
    c.globalAlpha = isTuned ? 1 : .5;
    c.strokeStyle = colour;
    const line = new Path2D();
    for (let x = 0; x < nX; x++) {
      const y = middle - half * wave.get(frame, from + along(x));
      line.lineTo(xAt(x), y);
    }
    strokes(c, line, thick);
    c.globalAlpha = 1;
  },
  /* Groups as blocks of rows, side by side while there is room. */
  places(groups, width, height) {
    const columns = width < 480 ? 8 : 12, head = width < 480 ? 13 : 17;
    const rows = [];
    let row = null;
    for (const frequency of groups.frequencies) {
      const its = groups.order.filter((neuron) => groups.ofNeuron[neuron] === frequency);
      let from = 0;
      while (from < its.length) {
        if (!row || columns - row.taken < Math.min(its.length - from, 3)) rows.push(row = { taken: 0, parts: [] });
        const part = its.slice(from, from + columns - row.taken);
        row.parts.push({ frequency, neurons: part, at: row.taken, first: from === 0, of: its.length });
        row.taken += part.length;
        from += part.length;
        if (row.taken >= columns) row = null;
      }
    }
    const wide = width / columns, high = Math.min(height / rows.length - head, wide * 1.1);
    const tiles = [], headings = [];
    rows.forEach(({ parts }, i) => {
      const y = i * (high + head) + head;
      for (const { frequency, neurons, at, first, of } of parts) {
        const colour = frequency ? "arm" + groups.frequencies.indexOf(frequency) % 8 : "soft";
        if (first) headings.push({ text: frequency ? (neurons.length > 2 ? "frequency " : "") + frequency + (neurons.length > 2 ? " · " + of : "") : "none", x: at * wide + 2, y: y - 4, colour });
        neurons.forEach((neuron, k) => tiles.push({ neuron, x: (at + k) * wide, y }));
      }
    });
    return { tiles, headings, wide, high };
  },
  says(view) {
    const share = named(view, "share"), frame = frameAt(share, state.step), n = share.shape[0];
    let tuned = 0;
    for (let i = 0; i < n; i++) tuned += share.get(frame, i) >= view.data.tuned;
    const one = state.neuron >= 0 && state.neuron < n
      ? ` Neuron ${state.neuron}: frequency ${named(view, "frequency").get(frameAt(named(view, "frequency"), state.step), state.neuron)} explains ${percent(share.get(frame, state.neuron))}.` : "";
    return `Step ${thousands(share.steps[frame])}: one frequency explains at least half of ${tuned} of ${n} neurons; weights of step ${thousands(named(view, "wave").steps[frameAt(named(view, "wave"), state.step)])}.` + one;
  },
  controls(view, controls) {
    toggle(controls, view, "x in order", () => state.order !== "wound", () => set({ order: "x" }));
    toggle(controls, view, "wound up by frequency", () => state.order === "wound", () => set({ order: "wound" }));
  },
};

/* What times k is 1, modulo n; 0 where nothing is. */
function inverse(k, n) {
  for (let i = 1; i < n; i++) if (i * k % n === 1) return i;
  return 0;
}
