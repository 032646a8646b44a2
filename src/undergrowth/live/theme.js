"use strict";
/* The theme, set before anything is painted: the one chosen before, or the system's. */
(function () {
  let wish = null;
  try { wish = localStorage.getItem("undergrowth-theme"); } catch (e) { /* no storage */ }
  const dark = wish ? wish === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  addEventListener("DOMContentLoaded", () => {
    const root = document.documentElement;
    const toggle = document.getElementById("theme");
    const show = () => {
      const isDark = root.dataset.theme === "dark";
      toggle.setAttribute("aria-pressed", String(isDark));
      toggle.setAttribute("aria-label", (isDark ? "Light" : "Dark") + " theme");
      toggle.textContent = isDark ? "Light" : "Dark";
      dispatchEvent(new Event("themed"));
    };
    toggle.addEventListener("click", () => {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("undergrowth-theme", root.dataset.theme); } catch (e) { /* no storage */ }
      show();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
      root.dataset.theme = event.matches ? "dark" : "light";
      show();
    });
    show();
  });
})();
