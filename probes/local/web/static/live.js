// Keeps the page true without loading it anew: hears that something changed, fetches this same page, and patches what differs.
// Focus, scroll, open details and half-written forms stay as they are.
"use strict";
(() => {
  const page = document.getElementById("page");
  const sign = document.getElementById("live");
  const root = document.documentElement;
  let timer = 0;
  let running = false;
  let wanted = false;
  let wait = 500;
  let heard = 0;
  let later = 0;

  // --- patching -------------------------------------------------------------------------------------------------------------
  const kept = (node) => node.nodeType === 1 && node.hasAttribute("data-keep");
  const key = (node) => (node.nodeType === 1 && node.id) || "";
  const kin = (node) => (node.getAttribute("class") || "").split(" ")[0];
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b)
    && (a.nodeType !== 1 || key(a) || kin(a) === kin(b));

  function patchAttributes(old, fresh) {
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
    }
    for (const { name, value } of [...fresh.attributes]) {
      if (name === "open" && old.nodeName === "DETAILS") continue; // the reader's choice
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
  }

  // The old node that becomes `child`: the one with its id, or else the next one of its kind. Texts are taken in place only.
  function match(at, child, known) {
    if (key(child)) return known.get(key(child));
    if (child.nodeType !== 1) return at && alike(at, child) ? at : null;
    for (let node = at; node; node = node.nextSibling) if (alike(node, child)) return node;
    return null;
  }

  // Bring `node` to the place of `at` without touching it where that is possible: a node that is moved loses its focus.
  function bring(parent, node, at, wanted) {
    const between = [];
    for (let one = at; one && one !== node; one = one.nextSibling) between.push(one);
    const follows = !between.length || between.at(-1).nextSibling === node;
    if (follows && !between.some((one) => wanted.has(key(one)))) between.forEach((one) => one.remove());
    else if (parent.moveBefore) parent.moveBefore(node, at);
    else parent.insertBefore(node, at);
  }

  function patch(old, fresh) {
    if (old.nodeType !== 1) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    if ((kept(old) && kept(fresh)) || old.isEqualNode(fresh)) return;
    patchAttributes(old, fresh);
    if (["INPUT", "SELECT", "TEXTAREA"].includes(old.nodeName)) return; // what was typed stays
    const children = [...fresh.childNodes];
    const wanted = new Set(children.map(key).filter(Boolean));
    const known = new Map();
    for (const child of old.childNodes) if (key(child)) known.set(key(child), child);
    let at = old.firstChild;
    for (const child of children) {
      const node = match(at, child, known);
      if (!node || !alike(node, child)) {
        old.insertBefore(child, at);
        continue;
      }
      if (node !== at) bring(old, node, at, wanted);
      patch(node, child);
      at = node.nextSibling;
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  // --- fetching -------------------------------------------------------------------------------------------------------------
  async function refresh() {
    if (running || document.hidden) { wanted = true; return; }
    running = true;
    wanted = false;
    const began = performance.now();
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
      const text = await answer.text();
      const fresh = new DOMParser().parseFromString(text, "text/html");
      const body = fresh.getElementById("page");
      if (!body) { location.reload(); return; }
      document.title = fresh.title;
      patch(page, body);
      clearTimeout(later);
      if (page.dataset.again) later = setTimeout(soon, 1000 * Number(page.dataset.again)); // this reading was not the newest
      stale(false);
      ages();
      document.dispatchEvent(new Event("probes:refreshed"));
    } catch {
      stale(true);
    } finally {
      running = false;
      wait = Math.min(30000, Math.max(500, 6 * (performance.now() - began))); // a big fleet is fetched less often
      if (wanted) soon();
    }
  }

  function soon() {
    wanted = true;
    if (timer) return;
    timer = setTimeout(() => { timer = 0; if (wanted) refresh(); }, wait);
  }

  // --- telling --------------------------------------------------------------------------------------------------------------
  function stale(is) {
    if (is) root.dataset.stale = "";
    else delete root.dataset.stale;
    say(is ? "lost" : "live");
  }

  function say(state) {
    const words = { live: "Live", lost: "Not live: the monitor does not answer", wait: "Connecting" }[state];
    if (sign.dataset.state === state) return;
    sign.dataset.state = state;
    sign.textContent = words;
  }

  const units = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  function span(seconds) {
    let left = Math.max(0, Math.round(seconds));
    const parts = [];
    for (const [unit, size] of units) {
      const count = Math.floor(left / size);
      left -= count * size;
      if (count || (unit === "s" && !parts.length)) parts.push(count + unit);
      else if (parts.length) break;
    }
    return parts.slice(0, 2).join(" ");
  }
  function ages() {
    const now = Date.now() / 1000;
    for (const node of document.querySelectorAll("time[data-ago]")) {
      const gone = now - Number(node.dataset.ago);
      const words = Math.abs(gone) < 2 ? "just now" : gone > 0 ? span(gone) + " ago" : "in " + span(-gone);
      if (node.textContent !== words) node.textContent = words;
    }
  }

  // --- starting -------------------------------------------------------------------------------------------------------------
  function listen() {
    const source = new EventSource("/events");
    say("wait");
    source.addEventListener("open", () => { stale(false); if (heard++) soon(); });
    source.addEventListener("change", soon);
    source.addEventListener("error", () => {
      stale(true);
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
    });
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { wait = 500; soon(); } });
  document.addEventListener("submit", (event) => {
    for (const field of event.target.querySelectorAll("[data-remember]")) {
      try { localStorage.setItem("probes-" + field.name, field.value); } catch { /* not kept */ }
    }
  });
  document.addEventListener("toggle", (event) => {
    if (!event.target.open) return;
    for (const field of event.target.querySelectorAll("[data-remember]")) {
      try { field.value = field.value || localStorage.getItem("probes-" + field.name) || ""; } catch { /* not kept */ }
    }
    const first = event.target.classList.contains("action") && event.target.querySelector("select, input:not([type=hidden])");
    if (first) first.focus();
  }, true);
  document.addEventListener("keydown", (event) => {
    const open = event.key === "Escape" && document.activeElement && document.activeElement.closest("details.action[open]");
    if (open) { open.open = false; open.querySelector("summary").focus(); }
  });
  if (location.search.includes("notice=")) {
    const url = new URL(location.href);
    url.searchParams.delete("notice");
    history.replaceState(null, "", url);
    setTimeout(soon, 8000);
  }
  setInterval(ages, 5000);
  ages();
  listen();
})();
