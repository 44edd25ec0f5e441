"use strict";
(() => {
  const panel = document.getElementById("flips-panel");
  if (panel) {
    const controls = document.getElementById("flips-controls");
    const search = document.getElementById("flips-search");
    const count = document.getElementById("flips-count");
    const buttons = [...controls.querySelectorAll("button")];
    const flips = [...panel.querySelectorAll(".flip")];
    const more = document.getElementById("flips-more");
    let direction = "all";
    let limit = 24;
    const apply = () => {
      const wanted = search.value.trim().toLowerCase();
      let shown = 0;
      let fitting = 0;
      for (const flip of flips) {
        const fits = (direction === "all" || flip.dataset.direction === direction)
          && (!wanted || flip.textContent.toLowerCase().includes(wanted));
        fitting += fits;
        flip.hidden = !fits || fitting > limit;
        shown += !flip.hidden;
      }
      count.textContent = `${shown} of ${flips.length} shown`;
      more.hidden = shown === fitting;
      more.textContent = `Show ${fitting - shown} more`;
      for (const button of buttons) button.setAttribute("aria-pressed", String(button.value === direction));
    };
    for (const button of buttons) button.addEventListener("click", () => { direction = button.value; apply(); });
    search.addEventListener("input", apply);
    const all = () => { limit = Infinity; apply(); };
    more.addEventListener("click", all);
    addEventListener("beforeprint", all);
    controls.hidden = false;
    apply();
  }
  addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("details")) fold.open = true; });
})();
