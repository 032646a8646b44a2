/* The reader's guess, and where it lies beside the verdict. */
function setUpGuesses() {
  for (const card of document.querySelectorAll(".card")) {
    const slider = card.querySelector("input"), said = card.querySelector("output"), line = card.querySelector(".guessed"), picture = card.querySelector("svg");
    const show = () => {
      said.textContent = String(Number(Number(slider.value).toPrecision(3))).replace("-", "−");
      const part = (slider.value - slider.min) / (slider.max - slider.min);
      line.setAttribute("d", line.getAttribute("d").replace(/^M[\d.]+/, "M" + (Number(picture.dataset.left) + part * Number(picture.dataset.wide)).toFixed(1)));
      line.style.visibility = "visible";
    };
    card.querySelector(".guess").hidden = false;
    slider.addEventListener("input", show);
    show();
  }
}
