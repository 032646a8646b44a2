/* A cell of a map opens its runs, on a click or with the keyboard. Which cell is open stands in the address,
   and a ring shows it on every map; the cell that the arrows have come to has a dashed one. */
(function () {
  const plots = Array.from(document.querySelectorAll(".maps .plot"));
  const told = document.querySelector(".maps .at");
  const key = (x, y) => `cell-${x}-${y}`;
  const open = (x, y) => { if (document.getElementById(key(x, y))) location.hash = key(x, y); };
  const opened = () => /^#cell-(\d+)-(\d+)$/.exec(location.hash)?.slice(1).map(Number);
  let at; // where the arrows have come to
  let isByKey = false; // a click shows no dashed ring
  addEventListener("keydown", () => { isByKey = true; }, true);
  addEventListener("mousedown", () => { isByKey = false; }, true);

  function put(plot, name, place) {
    const layout = plot._fullLayout;
    let ring = plot.querySelector(".ring." + name);
    if (!layout?.xaxis) return;
    if (!ring) {
      ring = document.createElement("div");
      ring.className = "ring " + name;
      plot.append(ring);
    }
    ring.hidden = !place;
    if (!place) return;
    const { xaxis, yaxis } = layout, [x, y] = place;
    const left = xaxis.l2p(x - 0.5), right = xaxis.l2p(x + 0.5), top = yaxis.l2p(y + 0.5), bottom = yaxis.l2p(y - 0.5);
    Object.assign(ring.style, {
      left: xaxis._offset + left + "px", top: yaxis._offset + top + "px",
      width: right - left + "px", height: bottom - top + "px",
    });
  }
  function show(plot) {
    put(plot, "is-open", opened());
    put(plot, "at-key", isByKey && document.activeElement === plot ? at : undefined);
  }
  const showAll = () => plots.forEach(show);

  /* the next cell that has runs in a direction, or that nearest to it in the next column or row that has any */
  const cells = Array.from(document.querySelectorAll(".cell"), (cell) => cell.id.split("-").slice(1).map(Number));
  function next([x, y], [dx, dy]) {
    const ahead = cells.filter(([cx, cy]) => dx ? (cx - x) * dx > 0 : (cy - y) * dy > 0);
    const far = ([cx, cy]) => dx ? Math.abs(cx - x) + 1000 * Math.abs(cy - y) : Math.abs(cy - y) + 1000 * Math.abs(cx - x);
    return ahead.length ? ahead.reduce((best, each) => far(each) < far(best) ? each : best) : [x, y];
  }
  const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  function press(event) {
    const plot = event.currentTarget;
    if (event.target !== plot) return;
    at = at || opened() || cells[0];
    if (event.key === "Enter" || event.key === " ") open(...at);
    else if (MOVES[event.key]) at = next(at, MOVES[event.key]);
    else return;
    event.preventDefault();
    say(plot);
    showAll();
  }
  function say(plot) {
    const trace = plot.data?.find((each) => each.type === "heatmap");
    const text = at && trace?.hovertext[trace.y.indexOf(at[1])]?.[trace.x.indexOf(at[0])];
    told.textContent = (text || "").replace(/<br>/g, "; ");
  }

  /* where there is no room beside a map, its colours are told below it (map.css) */
  const isNarrow = matchMedia("(max-width: 48rem)");
  function narrow() {
    for (const plot of plots) {
      if (plot.on && plot.data[0].showscale === isNarrow.matches) Plotly.restyle(plot, { showscale: !isNarrow.matches });
    }
  }
  isNarrow.addEventListener("change", narrow);

  for (const plot of plots) {
    plot.tabIndex = 0;
    plot.addEventListener("keydown", press);
    plot.addEventListener("focus", () => { at = opened() || at || cells[0]; say(plot); showAll(); });
    plot.addEventListener("blur", () => { told.textContent = ""; showAll(); });
    new MutationObserver((_, observer) => {
      if (!plot.querySelector(".main-svg") || !plot.on) return;
      observer.disconnect();
      narrow();
      plot.on("plotly_click", ({ points: [point] }) => { at = [point.x, point.y]; open(point.x, point.y); });
      plot.on("plotly_afterplot", () => show(plot));
      show(plot);
    }).observe(plot, { childList: true, subtree: true });
  }
  addEventListener("hashchange", () => {
    showAll();
    const cell = opened() && document.getElementById(location.hash.slice(1));
    if (cell) cell.focus({ preventScroll: true });
  });
  addEventListener("resize", showAll);
})();
