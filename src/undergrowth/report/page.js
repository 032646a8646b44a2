"use strict";
/* Unpacks what the page carries, draws the figures when they come near the screen (those in something
   folded when it is opened), themes them, says of all seeds at the step under the mouse, and lets the
   keyboard reach plotly's buttons and sliders. Everything else that a figure can do is in the figure
   itself. */
(function () {
  const root = document.documentElement;
  const plots = Array.from(document.querySelectorAll(".plot"));
  const figures = {};
  let templates, config;

  /* unpacking: first what every figure needs, then each figure when it is drawn, the others when there
     is time, since printing cannot wait */
  async function unpacked(id) {
    const base64 = atob(document.getElementById(id).textContent);
    const bytes = new Uint8Array(base64.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = base64.charCodeAt(i);
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }
  const read = async (id) => JSON.parse(await unpacked(id));
  async function unpack() {
    if (!("DecompressionStream" in window)) {
      throw new Error("This browser is too old to unpack the figures and the data behind them: use Chrome or " +
        "Edge 80, Firefox 113, Safari 16.4, or a later version.");
    }
    const script = document.createElement("script");
    [templates, config, script.textContent] = await Promise.all(
      [read("templates"), read("config"), unpacked("plotly"), ...plots.slice(0, 1).map(unpackFigure)]);
    document.head.append(script);
  }
  function tell(error) {
    const told = document.getElementById("not-unpacked");
    told.textContent = error.message.startsWith("This browser") ? error.message :
      "The figures could not be unpacked (" + error.message + "): the file of this page may be incomplete.";
    told.hidden = false;
    return false;
  }
  const isReady = unpack().then(() => true, tell);
  async function unpackFigure({ dataset: { name } }) {
    if (!(name in figures)) figures[name] = await unpacked("data-" + name);
  }
  const idle = () => new Promise((resolve) => (window.requestIdleCallback || setTimeout)(resolve));
  isReady.then(async (ready) => {
    if (!ready) return;
    plots.forEach((plot) => soon.observe(plot));
    for (const plot of plots) { await idle(); await unpackFigure(plot); }
    root.dataset.unpacked = "yes";
  }).catch(tell);

  async function draw(plot) {
    if (!await isReady) return;
    await unpackFigure(plot);
    await drawNow(plot);
  }
  function drawNow(plot) {
    const text = figures[plot.dataset.name];
    if (plot.dataset.drawn || !text) return Promise.resolve();
    plot.dataset.drawn = "yes";
    const figure = JSON.parse(text);
    for (const trace of figure.data) {
      if (!trace.customdata?.columns) continue;
      const columns = trace.customdata.columns.map((column) => typeof column === "string" ? trace[column] : column);
      trace.customdata = columns[0].map((_, i) => columns.map((column) => column[i]));
    }
    figure.layout.height = Number(plot.dataset.tall);
    figure.layout.template = templates[root.dataset.theme];
    plot.dataset.theme = root.dataset.theme;
    return Plotly.newPlot(plot, figure.data, figure.layout, config).then(() => {
      reach(plot);
      plot.on("plotly_afterplot", () => reach(plot));
      follow(plot);
    });
  }

  const soon = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { soon.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "400px" });

  /* theme; what is folded away is themed when it is opened */
  const toggle = document.getElementById("theme");
  function showTheme() {
    const dark = root.dataset.theme === "dark";
    toggle.setAttribute("aria-pressed", String(dark));
    toggle.textContent = dark ? "Light" : "Dark";
    toggle.setAttribute("aria-label", (dark ? "Light" : "Dark") + " theme");
    drawnOnes().forEach(retheme);
  }
  const drawnOnes = () => plots.filter((plot) => plot.dataset.drawn);
  const isFolded = (plot) => plot.closest("details:not([open])") !== null;
  function retheme(plot) {
    if (plot.dataset.theme === root.dataset.theme || isFolded(plot)) return;
    plot.dataset.theme = root.dataset.theme;
    Plotly.relayout(plot, { template: templates[root.dataset.theme] });
  }
  toggle.addEventListener("click", () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("undergrowth-theme", root.dataset.theme); } catch (e) { /* no storage */ }
    showTheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
    root.dataset.theme = event.matches ? "dark" : "light";
    showTheme();
  });
  showTheme();
  document.addEventListener("toggle", (event) => {
    if (!event.target.open) return;
    for (const plot of drawnOnes()) {
      if (!event.target.contains(plot) || isFolded(plot)) continue;
      retheme(plot);
      Plotly.Plots.resize(plot);
    }
  }, true);

  /* all seeds at the step under the mouse; the line there is lifted above the others */
  const MOST = 16;
  function follow(plot) {
    const box = document.createElement("div");
    box.className = "said";
    box.hidden = true;
    plot.append(box);
    plot.on("plotly_hover", ({ points: [point], event }) => {
      if (!isLine(point.fullData) || !point.customdata) return leave();
      const beside = plot._fullData.filter((trace) => isLine(trace) && trace.visible === true &&
        trace.xaxis === point.fullData.xaxis && trace.yaxis === point.fullData.yaxis);
      if (beside.length < 2) return leave();
      say(box, point, beside);
      leave(false);
      plot.classList.add("lifting");
      plot.querySelectorAll(".scatterlayer .trace" + point.fullData.uid).forEach((line) => line.classList.add("lifted"));
      box.hidden = false;
      const { left, width } = plot.getBoundingClientRect();
      const at = (event.clientX ?? left) - left;
      box.style.top = "8px";
      if (at < width / 2) { box.style.left = at + 24 + "px"; box.style.right = ""; }
      else { box.style.left = ""; box.style.right = width - at + 24 + "px"; }
    });
    function leave(hide = true) {
      plot.classList.remove("lifting");
      plot.querySelectorAll(".lifted").forEach((line) => line.classList.remove("lifted"));
      if (hide) box.hidden = true;
    }
    plot.on("plotly_unhover", () => leave());
  }
  const isLine = ({ meta, mode, customdata }) => mode === "lines" && meta?.each !== undefined && !meta.bound && Array.isArray(customdata?.[0]);
  function say(box, point, beside) {
    const [x] = point.customdata;
    const axis = point.fullData.hovertemplate.split("<br>")[1].split(" %{")[0];
    const series = new Map();
    for (const trace of beside) {
      const row = at(trace.customdata, x);
      if (!row || row[1] === null) continue;
      if (!series.has(trace.meta.series)) series.set(trace.meta.series, { colour: trace.line.color, values: [] });
      const head = trace.hovertemplate.split("<br>")[0].split(", ");
      series.get(trace.meta.series).values.push({ y: row[1], name: head[head.length - 1], mine: trace.index === point.fullData.index });
    }
    const title = document.createElement("b");
    title.textContent = axis + " " + x.toLocaleString("en");
    box.replaceChildren(title);
    for (const [name, { colour, values }] of series) {
      const line = document.createElement("span"), dot = document.createElement("i");
      dot.style.background = colour;
      line.append(dot, (name || "runs") + ": ");
      const shown = values.length > MOST ? values.filter((value) => value.mine) : values;
      if (shown.length < values.length) {
        const all = values.map((value) => value.y);
        line.append(values.length + " runs from " + number(Math.min(...all)) + " to " + number(Math.max(...all)) + (shown.length ? "; " : ""));
      }
      shown.forEach((value, i) => {
        const said = document.createElement(value.mine ? "em" : "span");
        said.style.display = "inline";
        said.style.padding = said.style.textIndent = 0;
        said.textContent = number(value.y) + (value.mine ? " (" + value.name + ")" : "");
        line.append(i ? ", " : "", said);
      });
      box.append(line);
    }
  }
  /* of rows that rise in their first number, that with this one */
  function at(rows, x) {
    let low = 0, high = rows.length - 1;
    while (low < high) { const middle = (low + high) >> 1; if (rows[middle][0] < x) low = middle + 1; else high = middle; }
    return rows[low]?.[0] === x ? rows[low] : undefined;
  }
  const number = (value) => String(Number(value.toPrecision(3))).replace("-", "−");

  /* keyboard, and which button is pressed */
  function reach(plot) {
    plot.querySelectorAll(".updatemenu-header-group").forEach((menu, m) => {
      const active = plot._fullLayout.updatemenus[m]?.active;
      menu.querySelectorAll(".updatemenu-button").forEach((button, i) => {
        button.setAttribute("aria-pressed", String(i === active));
        button.setAttribute("tabindex", "0");
        button.setAttribute("role", "button");
        if (!button.dataset.reached) {
          button.dataset.reached = "yes";
          button.addEventListener("keydown", press);
        }
      });
    });
    plot.querySelectorAll(".slider-group").forEach((group, i) => {
      const slider = plot._fullLayout.sliders[i];
      group.setAttribute("tabindex", "0");
      group.setAttribute("role", "slider");
      group.setAttribute("aria-label", slider.currentvalue.prefix.replace("=", "").trim());
      group.setAttribute("aria-valuemin", "0");
      group.setAttribute("aria-valuemax", String(slider.steps.length - 1));
      group.setAttribute("aria-valuenow", String(slider.active));
      group.setAttribute("aria-valuetext", slider.steps[slider.active].label);
      if (!group.dataset.reached) {
        group.dataset.reached = "yes";
        group.addEventListener("keydown", (event) => slide(event, plot, i));
      }
    });
  }
  function press(event) {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.currentTarget.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  }
  function slide(event, plot, i) {
    const slider = plot._fullLayout.sliders[i];
    const last = slider.steps.length - 1;
    const to = {
      ArrowLeft: slider.active - 1, ArrowDown: slider.active - 1, PageDown: slider.active - 5,
      ArrowRight: slider.active + 1, ArrowUp: slider.active + 1, PageUp: slider.active + 5,
      Home: 0, End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const active = Math.max(0, Math.min(last, to));
    const [data, layout, traces] = slider.steps[active].args;
    Plotly.update(plot, data, { ...layout, [`sliders[${i}].active`]: active }, traces)
      .then(() => plot.querySelectorAll(".slider-group")[i].focus());
  }

  /* downloads */
  document.addEventListener("click", (event) => {
    const { csv, svg } = event.target.dataset || {};
    if (csv) {
      isReady.then((ready) => ready && read("csv-" + csv)).then((columns) => columns && save(csv, columns));
    }
    if (svg) {
      const plot = document.getElementById("plot-" + svg);
      draw(plot).then(() => plot.dataset.drawn && Plotly.downloadImage(picture(plot), { format: "svg", filename: svg, width: 860, height: null }));
    }
  });
  /* a figure without its controls, on white paper; what they chose stands in its title */
  function picture(plot) {
    const { updatemenus = [], sliders = [], ...layout } = plot.layout;
    const rows = new Set(updatemenus.map((menu) => menu.pad.b)).size;
    const chosen = [
      ...updatemenus.filter((menu) => menu.buttons[0].method === "restyle").map((menu) => menu.buttons[menu.active || 0].label),
      ...sliders.map((slider) => slider.currentvalue.prefix + slider.steps[slider.active || 0].label),
    ];
    const less = 40 * rows + (sliders.length ? 74 : 0) - 30;
    const title = [plot.getAttribute("aria-label"), ...chosen].join(", ");
    return {
      data: plot.data,
      layout: {
        ...layout, template: templates.light, autosize: false, width: 860, height: layout.height - less,
        margin: { ...layout.margin, t: layout.margin.t - less },
        title: { text: title, x: 0, xref: "paper", xanchor: "left", y: 1, yanchor: "top", pad: { t: 10 }, font: { size: 15 } },
      },
    };
  }

  function save(name, columns) {
    const cell = (text) => /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
    const lines = columns[0].map((_, i) => columns.map((column) => cell(column[i])).join(",") + "\n");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(lines, { type: "text/csv" }));
    link.download = name + ".csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  /* what is gone to is unfolded: all that it stands in, and what it is the heading of */
  function unfold() {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const inside = target.matches(".rest") ? target.querySelector(":scope > details") : target.querySelector(":scope > details.checks-of");
    for (let each = inside || target; each; each = each.parentElement) if (each.matches("details")) each.open = true;
    target.scrollIntoView();
  }
  addEventListener("hashchange", unfold);
  unfold();

  /* print: on white paper, all figures, as wide as a page, all that is folded open */
  let onScreen = root.dataset.theme, opened = [];
  addEventListener("beforeprint", () => {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    opened.forEach((each) => { each.open = true; });
    onScreen = root.dataset.theme;
    root.dataset.theme = "light";
    plots.forEach(drawNow);
    drawnOnes().forEach((plot) => {
      plot.dataset.theme = "light";
      Plotly.relayout(plot, { template: templates.light, width: 660, autosize: false });
    });
  });
  addEventListener("afterprint", () => {
    root.dataset.theme = onScreen;
    drawnOnes().forEach((plot) => {
      plot.dataset.theme = onScreen;
      Plotly.relayout(plot, { template: templates[onScreen], width: null, autosize: true });
    });
    opened.forEach((each) => { each.open = false; });
  });
})();
