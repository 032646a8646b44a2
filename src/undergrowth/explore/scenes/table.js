/* What is right when, cell by cell. */
drawings.table = {
  height: (width) => width,
  array(view, name) {
    const of = state.arm && named(view, name + "|" + state.arm);
    return of && of.steps[0] <= state.step ? of : named(view, name);
  },
  draw(view, c, width, height) {
    const facts = view.data.cells[seedOf(view)];
    const correct = this.array(view, "correct"), logit = this.array(view, "logit");
    const frame = frameAt(correct, state.step), paper = ink("paper"), wrong = ink("wrong");
    const sides = [ink("train"), ink("val")];
    let most = 1e-9;
    for (let cell = 0; cell < facts.p ** 2; cell++) most = Math.max(most, logit.get(frame, cell) || 0);
    const box = { x: 30, y: 22, wide: width - 32, high: height - 26 };
    const grid = cellsIn(c, box, facts, (cell) => correct.get(frame, cell) > .5
      ? shade(paper, sides[facts.heldOut[cell]], .55 + .45 * Math.max(logit.get(frame, cell), 0) / most) : wrong);
    for (let cell = 0; cell < facts.p ** 2; cell++) {
      if (facts.swapTrained[cell] !== 1) continue;
      dot(c, grid.left + (cell % facts.p + .5) * grid.size, grid.top + (Math.floor(cell / facts.p) + .5) * grid.size, ink("ink"), grid.size * .12);
    }
    words(c, "y →", grid.left, grid.top - 7);
    words(c, "x ↓", grid.left - 8, grid.top + 10, { align: "right" });
    chooses(view, c, grid, facts);
  },
  says(view) {
    const facts = view.data.cells[seedOf(view)], correct = this.array(view, "correct");
    const frame = frameAt(correct, state.step), right = [0, 0], all = [0, 0];
    for (let cell = 0; cell < facts.p ** 2; cell++) {
      if (facts.heldOut[cell] < 0) continue;
      all[facts.heldOut[cell]]++;
      right[facts.heldOut[cell]] += correct.get(frame, cell) > .5;
    }
    const arm = correct.name.includes("|") ? `, arm ${correct.name.split("|")[1]}` : "";
    return `Step ${thousands(correct.steps[frame])}${arm}: right are ${right[0]} of ${all[0]} trained on, ${right[1]} of ${all[1]} held out.` + exampleSays(facts, (cell) => correct.get(frame, cell) > .5);
  },
  controls(view, controls) {
    if (!view.data.arms.length) return;
    const label = document.createElement("label"), select = document.createElement("select");
    label.append("arm ", select);
    select.append(new Option("the trunk", ""), ...view.data.arms.map((arm) => new Option(arm, arm)));
    select.addEventListener("change", () => set({ arm: select.value }));
    view.refreshers.push(() => { select.value = view.data.arms.includes(state.arm) ? state.arm : ""; });
    controls.append(label);
  },
};
