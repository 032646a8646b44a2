"use strict";
/* Unpacks what the page carries, draws the figures when they come near the screen, themes them, and lets
   the keyboard reach plotly's buttons and sliders. Everything else that a figure can do is in the figure
   itself. */
(function () {
  const root = document.documentElement;
  const plots = Array.from(document.querySelectorAll(".plot"));
  const figures = {};
  let onScreen = root.dataset.theme;
  let templates, config;

  /* unpacking */
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
    [templates, config] = await Promise.all([read("templates"), read("config")]);
    const script = document.createElement("script");
    script.textContent = await unpacked("plotly");
    document.head.append(script);
    /* all at once, since printing cannot wait */
    await Promise.all(plots.map(async ({ dataset: { name } }) => { figures[name] = await unpacked("data-" + name); }));
  }
  const isReady = unpack().then(() => true, (error) => {
    const told = document.getElementById("not-unpacked");
    told.textContent = error.message.startsWith("This browser") ? error.message :
      "The figures could not be unpacked (" + error.message + "): the file of this page may be incomplete.";
    told.hidden = false;
    return false;
  });

  function draw(plot) {
    const text = figures[plot.dataset.name];
    if (plot.dataset.drawn || !text) return Promise.resolve();
    plot.dataset.drawn = "yes";
    const figure = JSON.parse(text);
    for (const trace of figure.data) {
      if (!trace.customdata?.columns) continue;
      const columns = trace.customdata.columns.map((column) => typeof column === "string" ? trace[column] : column);
      trace.customdata = columns[0].map((_, i) => columns.map((column) => column[i]));
    }
    figure.layout.template = templates[root.dataset.theme];
    return Plotly.newPlot(plot, figure.data, figure.layout, config).then(() => {
      reach(plot);
      plot.on("plotly_afterplot", () => reach(plot));
    });
  }

  const soon = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { soon.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "800px" });
  isReady.then((ready) => { if (ready) plots.forEach((plot) => soon.observe(plot)); });

  /* theme */
  const toggle = document.getElementById("theme");
  function showTheme() {
    const dark = root.dataset.theme === "dark";
    toggle.setAttribute("aria-pressed", String(dark));
    toggle.textContent = dark ? "Light" : "Dark";
    toggle.setAttribute("aria-label", (dark ? "Light" : "Dark") + " theme");
    return retheme();
  }
  const drawnOnes = () => plots.filter((plot) => plot.dataset.drawn);
  function retheme() {
    return Promise.all(drawnOnes().map((plot) => Plotly.relayout(plot, { template: templates[root.dataset.theme] })));
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

  /* keyboard */
  function reach(plot) {
    plot.querySelectorAll(".updatemenu-button").forEach((button) => {
      button.setAttribute("tabindex", "0");
      button.setAttribute("role", "button");
      if (!button.dataset.reached) {
        button.dataset.reached = "yes";
        button.addEventListener("keydown", press);
      }
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
      isReady.then((ready) => ready && draw(plot).then(() => Plotly.downloadImage(plot, { format: "svg", filename: svg, width: 860, height: plot.offsetHeight })));
    }
  });

  function save(name, columns) {
    const cell = (text) => /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
    const lines = columns[0].map((_, i) => columns.map((column) => cell(column[i])).join(",") + "\n");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(lines, { type: "text/csv" }));
    link.download = name + ".csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  /* a verdict that is gone to opens its rule */
  const opened = () => {
    const verdict = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    verdict?.querySelector?.(":scope > details.why")?.setAttribute("open", "");
  };
  addEventListener("hashchange", opened);
  opened();

  /* print: on white paper, all figures, as wide as a page, all rules open */
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details.why").forEach((rule) => { rule.open = true; });
    onScreen = root.dataset.theme;
    root.dataset.theme = "light";
    plots.forEach((plot) => { draw(plot); });
    drawnOnes().forEach((plot) => Plotly.relayout(plot, { template: templates.light, width: 660, autosize: false }));
  });
  addEventListener("afterprint", () => {
    root.dataset.theme = onScreen;
    drawnOnes().forEach((plot) => Plotly.relayout(plot, { template: templates[onScreen], width: null, autosize: true }));
  });
})();
