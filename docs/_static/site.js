/* Draws the figures of a page when they come near the screen, and again on the other paper when the theme changes. */
(() => {
  const looks = window.undergrowthLooks;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = [];

  function paper() {
    const chosen = document.body.dataset.theme;
    const isDark = chosen === "dark" || (chosen !== "light" && prefersDark.matches);
    return looks[isDark ? "dark" : "light"];
  }

  /* plotly.js gives the pressed button one colour of its own, whatever the paper: site.css puts this one there */
  function showPressed() {
    document.body.style.setProperty("--pressed", paper().layout.sliderdefaults.activebgcolor);
  }

  function draw(plot) {
    const { data, layout } = JSON.parse(plot.querySelector("script").textContent);
    plot.replaceChildren();
    layout.template = paper();
    layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
    drawn.push(plot);
    return Plotly.newPlot(plot, data, layout, looks.config);
  }

  function retheme() {
    showPressed();
    for (const plot of drawn) Plotly.relayout(plot, { template: paper() });
  }

  const soon = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) { soon.unobserve(target); draw(target); }
  }, { rootMargin: "600px" });

  showPressed();
  document.querySelectorAll(".plot").forEach((plot) => soon.observe(plot));
  new MutationObserver(retheme).observe(document.body, { attributeFilter: ["data-theme"] });
  prefersDark.addEventListener("change", retheme);
})();
