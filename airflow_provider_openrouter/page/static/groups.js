// What each model, workspace, team or key spent: a table whose colours are the legend of the chart.

import { element } from "./dom.js";
import { usd } from "./words.js";

// Of Okabe and Ito, told apart by the colour-blind too; the last one is for what is left over.
const COLOURS = [
  "#0072b2",
  "#e69f00",
  "#009e73",
  "#cc79a7",
  "#56b4e9",
  "#d55e00",
  "#8c6bb1",
  "#8a8a00",
  "#8c8c94",
];

export const colourOf = (place) => COLOURS[place % COLOURS.length];

/** Return the table of groups. */
export function groupsTable(spend) {
  const all = spend.groups.reduce((sum, group) => sum + group.total, 0);
  const title = spend.by[0].toUpperCase() + spend.by.slice(1);
  const head = element(
    "tr",
    {},
    element("th", { scope: "col" }, title),
    element("th", { scope: "col", class: "amount" }, "Spend"),
    element("th", { scope: "col" }, "Share"),
  );
  const rows = spend.groups.map((group, place) => row(group.name, group.total, all, colourOf(place)));
  return element(
    "table",
    { class: "plain groups" },
    element("caption", {}, `Spend by ${spend.by}, ${spend.days[0]} to ${spend.days.at(-1)}`),
    element("thead", {}, head),
    element("tbody", {}, rows),
    element(
      "tfoot",
      {},
      element(
        "tr",
        {},
        element("th", { scope: "row" }, "Total"),
        element("td", { class: "amount" }, usd(all)),
        element("td"),
      ),
    ),
  );
}

function row(name, total, all, colour) {
  const share = all > 0 ? total / all : 0;
  const bar = element(
    "span",
    { class: "bar", "aria-hidden": "true" },
    element("span", { style: { width: `${share * 100}%`, background: colour } }),
  );
  return element(
    "tr",
    {},
    element(
      "th",
      { scope: "row" },
      element("span", { class: "swatch", "aria-hidden": "true", style: { background: colour } }),
      name,
    ),
    element("td", { class: "amount" }, usd(total)),
    element(
      "td",
      { class: "share" },
      element("div", {}, bar, element("span", { class: "percent" }, `${(share * 100).toFixed(1)}%`)),
    ),
  );
}
