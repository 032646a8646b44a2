/* Above each figure of curves that can be aligned: a choice of the event from which steps are counted. All
   such figures of the page are aligned alike. What is drawn when comes with the figure (report/aligned.py). */
(function () {
  const MOMENTS = [["start", "step 0"], ["fork", "the fork"], ["fired", "the first firing"],
    ["memorised", "memorised"], ["onset", "onset"], ["grokked", "grokked"]];
  const plots = Array.from(document.querySelectorAll('.plot[data-name$="-aligned"]'));
  let at = "start";

  function bar(plot) {
    const label = document.createElement("label");
    const choice = document.createElement("select");
    const told = document.createElement("span");
    label.className = "align";
    told.setAttribute("role", "status");
    for (const [name, text] of MOMENTS) choice.add(new Option(text, name));
    label.append("Steps since ", choice);
    choice.addEventListener("change", () => {
      at = choice.value;
      plots.forEach((each) => { each.bar.choice.value = at; align(each); });
    });
    plot.before(label, told);
    told.className = "align-told";
    return { choice, told };
  }

  /* Steps as they were trained, of each point of a trace, less those of the event in the point's run. */
  function since(trace, aligned, event) {
    const { each, runs, steps } = trace.meta;
    if (steps) return steps.map((step, i) => less(step, event.steps[runs[i]]));
    const first = aligned.events.find((other) => other.name === aligned.at).steps[each] ?? 0;
    return trace.customdata.map(([x]) => less(x + first, event.steps[each]));
  }
  const less = (step, zero) => zero === undefined ? null : step - zero;

  function align(plot) {
    const aligned = plot.layout?.meta?.aligned;
    if (!aligned || plot.dataset.at === at) return;
    plot.dataset.at = at;
    const event = aligned.events.find((each) => each.name === at);
    const linear = plot.data.map((trace) => since(trace, aligned, event));
    const log = linear.map((xs) => xs.map((x) => x === null || x < 0 ? null : x === 0 ? event.zero : x));
    const xs = { log, linear };
    const which = plot.data.map((_, i) => i);
    const kind = at === "start" ? "log" : "linear";
    const layout = { ...event[kind] };
    plot.layout.updatemenus.forEach((menu, i) => {
      if (!menu.buttons[0].label.startsWith("x ")) return;
      menu.buttons.forEach((button, j) => {
        const its = button.label.slice(2);
        layout[`updatemenus[${i}].buttons[${j}].args`] = [{ x: xs[its] }, event[its], which];
      });
      layout[`updatemenus[${i}].active`] = menu.buttons.findIndex((button) => button.label === "x " + kind);
    });
    plot.bar.told.textContent = event.told;
    Plotly.update(plot, { x: xs[kind] }, layout, which);
  }

  for (const plot of plots) {
    plot.bar = bar(plot);
    plot.dataset.at = at;
    new MutationObserver((_, observer) => {
      if (!plot.querySelector(".main-svg")) return;
      observer.disconnect();
      const { events } = plot.layout.meta.aligned;
      for (const option of plot.bar.choice.options) {
        option.disabled = !Object.keys(events.find((event) => event.name === option.value).steps).length;
      }
      align(plot);
    }).observe(plot, { childList: true, subtree: true });
  }
})();
