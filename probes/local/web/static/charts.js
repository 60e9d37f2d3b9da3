// Puts an interactive chart where the server drew a plain one. The data are those of the JSON API; texts of targets are escaped,
// because plotly reads some markup in texts.
"use strict";
(() => {
  if (!window.Plotly) return;
  const root = document.documentElement;
  const dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const safe = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const due = new WeakMap();

  function traces(data) {
    const stacked = data.kind === "stack";
    const found = data.lines.map((line, index) => ({
      type: "scatter",
      mode: line.points.length < 3 ? "markers" : "lines",
      name: safe(line.name),
      x: line.points.map((point) => point[0]),
      y: line.points.map((point) => point[1]),
      connectgaps: false,
      stackgroup: stacked ? "one" : undefined,
      fillcolor: stacked ? colour("--c" + (index % 6)) + "a0" : undefined,
      line: { color: colour("--c" + (index % 6)), width: stacked ? 0.5 : 1.75, dash: stacked ? "solid" : dashes[index % 6] },
      hovertemplate: "%{y:,.1f} ms",
    }));
    if (!stacked && data.marks && data.marks.length) {
      for (const [outcome, symbol, ink] of [["failed", "x", "--down"], ["degraded", "triangle-up", "--degraded"], ["errored", "circle-open", "--unknown"]]) {
        const runs = data.marks.filter((mark) => mark.outcome === outcome);
        if (!runs.length) continue;
        found.push({
          type: "scatter",
          mode: "markers",
          name: outcome,
          x: runs.map((mark) => mark.at),
          y: runs.map((mark) => mark.value ?? 0),
          text: runs.map((mark) => safe(mark.because)),
          marker: { symbol, size: 8, color: colour(ink), line: { width: 1.5, color: colour(ink) } },
          hovertemplate: "%{text}<extra>" + outcome + "</extra>",
        });
      }
    }
    return found;
  }

  function layout(data, resets) {
    const soft = colour("--soft");
    const line = colour("--line");
    const narrow = innerWidth < 640;
    return {
      uirevision: data.panel + data.range + (resets || ""),
      height: 300,
      margin: { l: 56, r: 12, t: 8, b: 36 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: soft },
      hovermode: "x unified",
      hoverlabel: { bgcolor: colour("--card"), bordercolor: line, font: { color: colour("--ink") } },
      showlegend: true,
      legend: { orientation: "h", x: 0, y: -0.18, font: { color: colour("--ink") } },
      xaxis: { type: "date", range: [data.start, data.end], tickangle: 0, nticks: narrow ? 4 : 9, tickformat: data.end - data.start > 2e8 ? "%b %d" : "%H:%M", gridcolor: line, linecolor: line, zeroline: false },
      yaxis: { rangemode: "tozero", gridcolor: line, zeroline: false, ticksuffix: " ms", separatethousands: true },
      shapes: data.bands.map((band) => ({
        type: "rect", xref: "x", yref: "paper", x0: Math.max(band.start, data.start), x1: Math.min(band.end, data.end), y0: 0, y1: 1,
        fillcolor: colour(band.severity === "critical" ? "--down" : "--degraded"), opacity: 0.12, line: { width: 0 }, layer: "below",
      })),
    };
  }

  // Plotly's own row of buttons writes style elements, which our policy forbids; one button of ours does what is needed.
  function zoomed(node, change) {
    const is = "xaxis.range[0]" in change || "yaxis.range[0]" in change;
    let button = node.parentNode.querySelector(".reset");
    if (!is || button) { if (!is && button) button.remove(); return; }
    button = document.createElement("button");
    button.type = "button";
    button.className = "reset";
    button.textContent = "Reset zoom";
    button.addEventListener("click", () => {
      button.remove();
      node.dataset.reset = String(Number(node.dataset.reset || 0) + 1);
      due.delete(node);
      draw(node);
    });
    node.parentNode.insertBefore(button, node);
  }

  async function draw(node) {
    const now = Date.now();
    if ((due.get(node) || 0) > now) return;
    due.set(node, now + 5000);
    try {
      const answer = await fetch(node.dataset.panel, { headers: { accept: "application/json" } });
      if (!answer.ok) return;
      const data = await answer.json();
      if (!node.classList.contains("js-plot")) {
        node.replaceChildren();
        node.classList.add("js-plot");
        node.setAttribute("role", "group");
        node.setAttribute("aria-label", data.title + ", interactive chart");
      }
      await Plotly.react(node, traces(data), layout(data, node.dataset.reset), {
        responsive: true, displaylogo: false, scrollZoom: false, doubleClick: "reset", displayModeBar: false,
      });
      if (!node.dataset.zoom) {
        node.dataset.zoom = "ready";
        node.on("plotly_relayout", (change) => zoomed(node, change));
      }
    } catch { /* the plain chart stays */ }
  }

  const all = (again) => {
    for (const node of document.querySelectorAll(".plot[data-panel]")) {
      if (again) due.delete(node);
      draw(node);
    }
  };
  document.addEventListener("probes:refreshed", () => all(false));
  document.addEventListener("probes:theme", () => all(true));
  all(true);
})();
