// Keeps the first page up to date without disturbing who reads it, and says so when nothing comes any more.

/** After this long without an event the figures count as old; while all is well one comes each second. */
const SILENCE_MS = 10_000;

/** @type {any} */
const htmx = /** @type {any} */ (window).htmx;

/**
 * Give an element the attributes and children of another, touching only what differs: what is open stays open, what
 * is marked stays marked, the focus stays where it is.
 * @param {Element} have
 * @param {Element} want
 */
function morph(have, want) {
  for (const { name, value } of want.attributes) {
    if (have.getAttribute(name) !== value) have.setAttribute(name, value);
  }
  for (const { name } of [...have.attributes]) {
    const mine = have instanceof HTMLDetailsElement && name === "open";
    if (!mine && !want.hasAttribute(name)) have.removeAttribute(name);
  }
  morphChildren(have, want);
}

/**
 * @param {Element} have
 * @param {Element} want
 */
function morphChildren(have, want) {
  let at = have.firstChild;
  for (const fresh of [...want.childNodes]) {
    const kept = counterpart(have, at, fresh);
    if (kept === null) {
      have.insertBefore(fresh, at);
      continue;
    }
    if (kept === at) at = at.nextSibling;
    else have.insertBefore(kept, at);
    if (kept instanceof Element && fresh instanceof Element) morph(kept, fresh);
    else if (kept.nodeValue !== fresh.nodeValue) kept.nodeValue = fresh.nodeValue;
  }
  while (at !== null) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/**
 * The child of `have` that is to become `fresh`: the one with its id, or the next one where that is of its kind.
 * @param {Element} have
 * @param {ChildNode | null} at
 * @param {ChildNode} fresh
 * @returns {ChildNode | null}
 */
function counterpart(have, at, fresh) {
  if (fresh instanceof Element && fresh.id) {
    return have.querySelector(`:scope > ${fresh.nodeName}#${CSS.escape(fresh.id)}`);
  }
  if (at === null || at.nodeName !== fresh.nodeName) return null;
  return at instanceof Element && at.id ? null : at;
}

// The regions hold nothing that htmx would have to take in hand: hence the empty list of new elements.
htmx.defineExtension("morph", {
  /**
   * @param {string} style
   * @param {Element} target
   * @param {Element} fragment
   */
  handleSwap(style, target, fragment) {
    if (style !== "morph") return false;
    morphChildren(target, fragment);
    return [];
  },
});

/** @type {[string, number][]} */
const UNITS = [
  ["year", 31_536_000], ["month", 2_592_000], ["week", 604_800], ["day", 86_400], ["hour", 3600], ["minute", 60],
  ["second", 1],
];

/** @type {Map<string, Intl.NumberFormat>} */
const formats = new Map();

/**
 * A duration as the server writes it: rounded to what matters, in the page's language.
 * @param {number} seconds
 */
function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [unit, length] = UNITS.find(([, length]) => whole >= length) ?? ["second", 1];
  let format = formats.get(unit);
  if (format === undefined) {
    format = new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit, unitDisplay: "short" });
    formats.set(unit, format);
  }
  return format.format(Math.round(whole / length));
}

/** Let the ages grow: rows are sent when their values change, not because time passes. */
function grow() {
  const now = Number(document.getElementById("now")?.dataset.now);
  for (const time of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("time[data-since]"))) {
    const text = duration(now - Number(time.dataset.since));
    if (time.textContent !== text) time.textContent = text;
  }
}

const lost = /** @type {HTMLElement} */ (document.getElementById("lost"));
let newest = new Date();

/** @param {boolean} isLost */
function tell(isLost) {
  const time = /** @type {HTMLElement} */ (lost.querySelector("time"));
  if (isLost) time.textContent = newest.toLocaleTimeString(document.documentElement.lang, { hourCycle: "h23" });
  if (lost.hidden === isLost) lost.hidden = !isLost;
}

document.body.addEventListener("htmx:sseMessage", () => {
  grow();
  newest = new Date();
  tell(false);
});
document.body.addEventListener("htmx:sseError", () => tell(true));
document.body.addEventListener("htmx:afterRequest", (event) => {
  if (!(/** @type {CustomEvent} */ (event).detail.successful)) return;
  grow();
  newest = new Date();
  tell(true); // "load now": newer, but still not live
});
setInterval(() => {
  if (Date.now() - newest.getTime() > SILENCE_MS) tell(true);
}, 1000);
