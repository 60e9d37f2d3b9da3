// Runs before the first paint, so that a chosen theme never flashes. The choice is kept on this machine.
"use strict";
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem("probes-theme"); } catch { /* storage is off: the system's theme it is */ }
  const set = (theme) => {
    if (theme === "dark" || theme === "light") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  set(chosen);
  root.classList.add("js");
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    button.hidden = false;
    button.addEventListener("click", () => {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
      const theme = dark ? "light" : "dark";
      set(theme);
      try { localStorage.setItem("probes-theme", theme); } catch { /* not kept */ }
      document.dispatchEvent(new Event("probes:theme"));
    });
  });
  system.addEventListener("change", () => document.dispatchEvent(new Event("probes:theme")));
})();
