// Run in a page before Tab is pressed: says which stops the page has. Notes where the focus is whenever the next key goes
// down, for a stop is scrolled into view only after its focus event; `noted()` says where it was until it left the page.
() => {
  const controls = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
  const main = document.getElementById("main");

  const name = (e) => {
    const text = e.getAttribute("aria-label") || e.innerText || e.labels?.[0]?.innerText || e.id || e.className;
    return `${e.localName} ${text.trim().replace(/\s+/g, " ").slice(0, 60)}`;
  };
  const visible = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length > 0;
  const alone = (e) => {
    // Arrows, not Tab, lead from one choice of a question to the next.
    if (e.type !== "radio") return true;
    const group = [...document.getElementsByName(e.name)].filter((other) => other.form === e.form);
    return e === (group.find((other) => other.checked) || group[0]);
  };
  const outlined = (style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  const mark = (e) => {
    const style = getComputedStyle(e);
    return outlined(style) ? `${style.outlineWidth} ${style.outlineColor} ${style.boxShadow}` : style.boxShadow;
  };
  const luminance = (colour) => {
    const [red, green, blue] = colour.match(/[\d.]+/g).slice(0, 3).map((each) => {
      const part = each / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (e, box) => {
    // Of the outline with the surface that it is drawn on: the control's own where the outline lies within.
    const style = getComputedStyle(e);
    if (!outlined(style)) return 21;
    const within = parseFloat(style.outlineOffset) < 0;
    const beneath = document
      .elementsFromPoint(Math.max(0, within ? box.left + 1 : box.left - 3), (box.top + box.bottom) / 2)
      .filter((other) => within || !e.contains(other))
      .map((other) => getComputedStyle(other).backgroundColor)
      .find((colour) => colour !== "rgba(0, 0, 0, 0)");
    const [dark, light] = [style.outlineColor, beneath || "rgb(255, 255, 255)"].map(luminance).sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const shown = (e, box) => {
    // The middle and the corners are what a pointer would meet there; of what is larger than the window, one of them.
    const [left, right, top, bottom] = [box.left + 3, box.right - 3, box.top + 3, box.bottom - 3];
    const middle = [(left + right) / 2, (top + bottom) / 2];
    const met = [middle, [left, top], [right, top], [left, bottom], [right, bottom]].map(([x, y]) => {
      const hit = document.elementFromPoint(x, y);
      return hit !== null && (e.contains(hit) || hit.contains(e));
    });
    return box.height < innerHeight && box.width < innerWidth ? met.every(Boolean) : met.some(Boolean);
  };

  const stops = [...document.querySelectorAll(controls)].filter((e) => !e.disabled && visible(e) && alone(e));
  const before = new Map(stops.map((e) => [e, mark(e)]));
  window.look = () => {
    const e = document.activeElement;
    if (!e || e === document.body) return null;
    const box = e.getClientRects()[0];
    return {
      at: stops.indexOf(e),
      name: name(e),
      scrolls: e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight,
      marked: before.has(e) ? mark(e) !== before.get(e) : mark(e) !== "none",
      contrast: contrast(e, box),
      shown: shown(e, box),
    };
  };
  const seen = [];
  let pressed = 0;
  let left = false;
  const note = () => {
    const stop = pressed ? window.look() : undefined;
    pressed += 1;
    if (stop === null || (stop?.at === 0 && seen.length > 1)) left = true;  // or came in again at the top
    else if (stop && !left && stop.name + stop.at !== seen.at(-1)?.name + seen.at(-1)?.at) seen.push(stop);
  };
  document.addEventListener("keydown", note, true);
  window.noted = () => { note(); return { seen, left }; };
  return {
    names: stops.map(name),
    dates: stops.filter((e) => /^(date|time|month|week)/.test(e.type || "")).length,
    jumps: [...document.querySelectorAll("[tabindex]")].filter((e) => e.tabIndex > 0).map(name),
    skips: stops[0]?.getAttribute("href") === "#main",
    first: stops.findIndex((e) => main.contains(e)),
  };
}
