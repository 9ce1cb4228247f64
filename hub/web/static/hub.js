// Live texts, keys and the help dialog. Every page is whole without this file.
"use strict";

const page = document.documentElement;
page.classList.add("js");

// ---------- live updates: text changes in place; order, scroll and focus stay ----------

function liveUpdates() {
  const place = document.querySelector("[data-live-source]");
  if (!place || !window.EventSource) return;
  const note = document.getElementById("live-note");
  const said = document.getElementById("live-said");
  const button = document.getElementById("live-pause");
  const changed = document.getElementById("live-changed");
  let source = null;
  let spoken = Date.now();

  function receive(event) {
    const values = JSON.parse(event.data);
    if (values.over) { stop("Signed out"); return; }
    for (const [name, text] of Object.entries(values)) {
      for (const spot of document.querySelectorAll(`[data-live="${CSS.escape(name)}"]`)) {
        if (spot.textContent !== text) spot.textContent = text;
      }
    }
    if (values.shape && values.shape !== place.dataset.shape && changed) changed.hidden = false;
    if (values.newer && changed) {
      changed.hidden = false;
      changed.querySelector("a").textContent = `${values.newer} new, show them`;
    }
    if (note) note.textContent = `Live, updated ${new Date().toLocaleTimeString("en-GB", { timeZone: place.dataset.zone })}`;
    if (said && changed && !changed.hidden && Date.now() - spoken > 30000) {
      said.textContent = "This page has newer content.";
      spoken = Date.now();
    }
  }
  function start() {
    source = new EventSource(place.dataset.liveSource);
    source.onmessage = receive;
    source.onerror = () => { if (note) note.textContent = "Live updates are interrupted; trying again"; };
    if (button) button.textContent = "Pause updates";
  }
  function stop(word) {
    source.close();
    source = null;
    if (note) note.textContent = word;
    if (button) button.textContent = "Go on with updates";
  }
  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => (source ? stop("Updates are paused") : start()));
  }
  window.addEventListener("pagehide", () => source && source.close());
  start();
}

// ---------- keys: none of them sends anything ----------

const places = { s: "/", m: "/messages", w: "/queues", c: "/claims", a: "/accounts" };
let going = false;

function move(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return;
  const now = rows.findIndex((row) => row.classList.contains("on"));
  const next = rows[Math.min(rows.length - 1, Math.max(0, now + step))];
  for (const row of rows) row.classList.toggle("on", row === next);
  const link = next.querySelector("a");
  if (link) link.focus();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=checkbox]), select, textarea, [contenteditable]")) return;
  const key = event.key;
  if (going) {
    going = false;
    if (places[key]) { event.preventDefault(); location.href = places[key]; }
    return;
  }
  if (key === "/") { event.preventDefault(); document.getElementById("q")?.focus(); }
  else if (key === "?") { event.preventDefault(); document.getElementById("keys")?.showModal(); }
  else if (key === "f") { const field = document.querySelector(".find input, .find select"); if (field) { event.preventDefault(); field.focus(); } }
  else if (key === "g") { going = true; setTimeout(() => { going = false; }, 1500); }
  else if (key === "j") { event.preventDefault(); move(1); }
  else if (key === "k") { event.preventDefault(); move(-1); }
  else if (key === "r") document.querySelector("[data-key=replay]")?.click();
  else if (key === "e") { const field = document.querySelector("[data-first-field]"); if (field) { event.preventDefault(); field.focus(); } }
  else if (key === "x") { const box = document.querySelector(".items li.on input[type=checkbox]"); if (box) box.checked = !box.checked; }
  else if (key === "[" || key === "]") document.querySelector(`[data-key="${CSS.escape(key)}"]`)?.click();
  else if (/^[1-9]$/.test(key)) document.querySelectorAll(".tabs a")[Number(key) - 1]?.click();
}

if (page.dataset.keys !== "off") document.addEventListener("keydown", onKey);

// Escape closes the menu of narrow windows; the focus returns to what opened it.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || location.hash !== "#nav") return;
  location.replace("#");
  document.querySelector(".menu")?.focus();
});

document.addEventListener("click", (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    event.preventDefault();
    navigator.clipboard?.writeText(copy.dataset.copy).then(() => { copy.textContent = "Copied"; });
  }
  if (event.target.closest("[data-show-keys]")) { event.preventDefault(); document.getElementById("keys")?.showModal(); }
});

// What was revealed for a time does not stay on a screen that nobody reloads.
const left = Number(document.body.dataset.revealedFor);
if (left) {
  setTimeout(() => {
    for (const spot of document.querySelectorAll(".seen")) { spot.textContent = "\u2022".repeat(6); spot.className = "mask"; }
  }, left);
}

// A second press of a button that sends does nothing; the token in the form says the same to the engine.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => { for (const form of document.forms) delete form.dataset.sent; });

document.querySelector("[data-focus]")?.focus();
liveUpdates();
