// Small drawings that say what colour alone must not.

import { drawing } from "./dom.js";

const PATHS = {
  stopped: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM5.5 5.5l5 5m0-5-5 5",
  warning: "M8 2 1.5 13.5h13L8 2Zm0 4.5v3m0 2v.01",
  clock: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM8 4.5V8l2.5 1.5",
  falling: "M2 4l4.5 4.5 2.5-2.5L14 11m0-3.5V11h-3.5",
  again: "M13.5 8A5.5 5.5 0 1 1 11.6 3.8M13.5 1.5V5H10",
  fine: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM5 8.2l2 2 4-4.2",
  paused: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM6.3 5.7v4.6m3.4-4.6v4.6",
  unknown:
    "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM6.2 6.2a1.8 1.8 0 1 1 2.6 1.6c-.5.3-.8.6-.8 1.2m0 2v.01",
  key: "M5.5 7.5a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.4ZM7.8 8.2 14 2m-3 3 2 2M9.3 6.7l1.2 1.2",
};

/** Return a drawing. It is decoration: what it means stands beside it in words. */
export function mark(name, tone) {
  const drawn = drawing("path", { d: PATHS[name] });
  return drawing("svg", { class: `mark ${tone}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, drawn);
}

/** Return the mark of why a key stops next. */
export function markOfStop(key) {
  const isUrgent = key.is_low || key.is_expiring;
  switch (key.stops.kind) {
    case "empty":
      return mark("stopped", "bad");
    case "dry":
      return mark(isUrgent ? "warning" : "falling", isUrgent ? "warn" : "calm");
    case "expiry":
      return mark(isUrgent ? "warning" : "clock", isUrgent ? "warn" : "calm");
    case "reset":
      return mark("again", "calm");
    case "disabled":
      return mark("paused", "off");
    case "expired":
      return mark("stopped", "off");
    default:
      return mark("fine", "good");
  }
}
