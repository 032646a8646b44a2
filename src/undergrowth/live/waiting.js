"use strict";
/* Asks for the report, waits until it is made, and goes there; says why where it cannot be made. */
(async function () {
  const said = document.getElementById("said");
  try {
    const made = await fetch("/report/made");
    if (made.ok) { location.replace("/report/page"); return; }
    said.textContent = "The report could not be made: " + (await made.text());
  } catch (error) {
    said.textContent = "The server does not answer: it may have ended. Start it again and reload this page.";
  }
  said.classList.add("problem");
})();
