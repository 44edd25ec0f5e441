"use strict";
(() => {
  const panel = document.getElementById("flips-panel");
  if (panel) {
    const controls = document.getElementById("flips-controls");
    const search = document.getElementById("flips-search");
    const count = document.getElementById("flips-count");
    const buttons = [...controls.querySelectorAll("button")];
    const flips = [...panel.querySelectorAll(".flip")];
    let direction = "all";
    const apply = () => {
      const wanted = search.value.trim().toLowerCase();
      let shown = 0;
      for (const flip of flips) {
        const fits = (direction === "all" || flip.dataset.direction === direction)
          && (!wanted || flip.textContent.toLowerCase().includes(wanted));
        flip.hidden = !fits;
        shown += fits;
      }
      count.textContent = `${shown} shown`;
      for (const button of buttons) button.setAttribute("aria-pressed", String(button.value === direction));
    };
    for (const button of buttons) button.addEventListener("click", () => { direction = button.value; apply(); });
    search.addEventListener("input", apply);
    controls.hidden = false;
    apply();
  }
  addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("details")) fold.open = true; });
})();
