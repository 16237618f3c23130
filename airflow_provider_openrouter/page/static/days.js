// Spend of each day: as columns that need no library, and as a table.

import { drawing, element } from "./dom.js";
import { colourOf } from "./groups.js";
import { count, usd } from "./words.js";

const HEIGHT = 60;

/** Return the sum of all groups for each day. */
export function totals(spend) {
  return spend.days.map((_, place) => spend.groups.reduce((sum, group) => sum + group.spend[place], 0));
}

/** Return columns, one for each day, in the colours of the table of groups. */
export function daysChart(spend) {
  const sums = totals(spend);
  const most = Math.max(...sums, 0);
  const columns = sums.map((sum, place) => {
    let y = HEIGHT;
    const parts = spend.groups.map((group, at) => {
      const height = most ? (Math.max(0, group.spend[place]) / most) * HEIGHT : 0;
      y -= height;
      return drawing("rect", { x: place + 0.1, width: 0.8, y, height, fill: colourOf(at) });
    });
    return drawing("g", {}, drawing("title", {}, `${spend.days[place]}: ${usd(sum)}`), parts);
  });
  const label = `Spend of ${count(spend.days.length, "day")}, at most ${usd(most)} a day`;
  const box = {
    viewBox: `0 0 ${spend.days.length} ${HEIGHT}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": label,
  };
  return element(
    "figure",
    { class: "days" },
    drawing("svg", box, columns),
    element(
      "figcaption",
      { class: "quiet" },
      [spend.days[0], `at most ${usd(most)} a day`, spend.days.at(-1)].map((words) => element("span", {}, words)),
    ),
  );
}

/** Return the days as a table, newest first, in a part that opens. */
export function daysTable(spend) {
  const sums = totals(spend);
  const heads = ["Day", ...spend.groups.map((group) => group.name), "Total"];
  const rows = spend.days.map((day, place) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, day),
      [...spend.groups.map((group) => group.spend[place]), sums[place]].map((amount) =>
        element("td", { class: "amount" }, usd(amount)),
      ),
    ),
  );
  const table = element(
    "table",
    { class: "plain" },
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        heads.map((head, place) => element("th", { scope: "col", class: place ? "amount" : "" }, head)),
      ),
    ),
    element("tbody", {}, rows.reverse()),
  );
  return element(
    "details",
    {},
    element("summary", {}, "Each day as a table"),
    element("div", { class: "scrolled", role: "region", "aria-label": "Each day", tabindex: 0 }, table),
  );
}
