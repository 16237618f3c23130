// The columns of the table of keys: what each shows, and by what it sorts.

import { element } from "./dom.js";
import { markOfStop } from "./marks.js";
import { ago, moment, nameOf, NOTHING, shortUsd } from "./words.js";

/** `order` is what a key sorts by; `falls` where the first press should put the most on top. */
export const COLUMNS = [
  { id: "name", title: "Key", order: (key) => key.name, cell: nameCell },
  { id: "left", title: "Left of limit", order: (key) => key.limit_remaining, cell: leftCell },
  { id: "next", title: "Next", order: (key) => key.place, cell: nextCell },
  { id: "pace", title: "Per day", order: (key) => key.pace, falls: true, cell: (key) => amount(key.pace) },
  {
    id: "today",
    title: "Today",
    order: (key) => key.usage_daily,
    falls: true,
    cell: (key) => amount(key.usage_daily),
  },
  {
    id: "month",
    title: "Month",
    order: (key) => key.usage_monthly,
    falls: true,
    cell: (key) => amount(key.usage_monthly),
  },
  { id: "workspace", title: "Workspace", order: (key) => key.workspace, cell: (key) => text(key.workspace) },
  { id: "creator", title: "Creator", order: (key) => key.creator, cell: (key) => text(key.creator) },
  { id: "used", title: "Last use", order: (key) => key.last_used_at, falls: true, cell: usedCell },
];

function nameCell(key) {
  const open = element(
    "button",
    { type: "button", class: "open", title: key.name, "aria-haspopup": "dialog" },
    nameOf(key),
  );
  const team = key.team && key.team !== key.name ? key.team : null;
  return [open, element("span", { class: "quiet under" }, [team, key.label].filter(Boolean).join(" · "))];
}

function leftCell(key) {
  if (key.limit === null) return [element("span", { class: "quiet" }, "no limit")];
  return [
    leftBar(key),
    element("span", { class: "under" }, `${shortUsd(key.limit_remaining)} of ${shortUsd(key.limit)}`),
  ];
}

/** Return a bar of what remains of a key's limit. It is decoration: the amounts stand beside it. */
export function leftBar(key) {
  const share = key.limit > 0 ? Math.min(1, Math.max(0, (key.limit_remaining ?? 0) / key.limit)) : 0;
  const tone = key.state !== "active" ? "off" : key.stops.kind === "empty" ? "bad" : key.is_low ? "warn" : "calm";
  return element(
    "span",
    { class: "bar", "aria-hidden": "true" },
    element("span", { class: tone, style: { width: `${share * 100}%` } }),
  );
}

function nextCell(key) {
  const title = key.stops.at ? moment(key.stops.at) : null;
  return [markOfStop(key), element("span", { title }, key.stops.text)];
}

function usedCell(key) {
  if (!key.last_used_at) return [element("span", { class: "quiet" }, "never")];
  return [element("span", { title: moment(key.last_used_at) }, ago(key.last_used_at))];
}

const amount = (value) => [element("span", { class: value ? "" : "quiet" }, shortUsd(value))];
const text = (value) => [element("span", { title: value }, value ?? NOTHING)];
