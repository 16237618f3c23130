// All about one key, in a panel at the side.

import { siteLink } from "./airflow.js";
import { read } from "./api.js";
import { leftBar } from "./columns.js";
import { daysChart } from "./days.js";
import { byId, element } from "./dom.js";
import { groupsTable } from "./groups.js";
import { markOfStop } from "./marks.js";
import { loadingState, notice } from "./states.js";
import { ago, moment, nameOf, NOTHING, usd } from "./words.js";

const WINDOWS = [
  ["Today", "_daily"],
  ["This week", "_weekly"],
  ["This month", "_monthly"],
  ["All time", ""],
];

/** Open the panel; Esc, its button and a click beside it close it, and the focus returns to the row. */
export function openDetails(key, listing) {
  const panel = byId("details");
  const close = element(
    "button",
    { type: "button", class: "close", "aria-label": "Close", onclick: () => panel.close() },
    "✕",
  );
  const days = element("section", { "aria-labelledby": "details-days" });
  panel.onclick = (event) => event.target === panel && panel.close();
  panel.replaceChildren(
    element(
      "div",
      { class: "inside" },
      element("header", {}, element("h2", { id: "details-title", title: key.name }, nameOf(key)), close),
      element("p", { class: "stops" }, markOfStop(key), key.stops.text),
      limit(key),
      windows(key),
      facts(key),
      days,
      siteLink("Open the keys at OpenRouter", listing.links.keys, { class: "button" }),
    ),
  );
  panel.showModal();
  panel.scrollTop = 0;
  showDays(key, days);
}

function limit(key) {
  const left = key.limit === null ? "No limit" : `${usd(key.limit_remaining)} of ${usd(key.limit)} left`;
  const reset = key.limit_reset ? `, resets ${key.limit_reset}` : "";
  return element(
    "div",
    { class: "limit" },
    key.limit === null ? null : leftBar(key),
    element("p", {}, left + reset),
  );
}

function windows(key) {
  const hasByok = WINDOWS.some(([, suffix]) => key[`byok_usage${suffix}`]);
  const heads = ["Window", "Spend", hasByok ? "BYOK" : null].filter(Boolean);
  const rows = WINDOWS.map(([title, suffix]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, title),
      element("td", { class: "amount" }, usd(key[`usage${suffix}`])),
      hasByok ? element("td", { class: "amount" }, usd(key[`byok_usage${suffix}`])) : null,
    ),
  );
  return element(
    "table",
    { class: "plain" },
    element("caption", {}, "Spend"),
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        heads.map((head, place) => element("th", { scope: "col", class: place ? "amount" : "" }, head)),
      ),
    ),
    element("tbody", {}, rows),
  );
}

function facts(key) {
  const known = [
    ["State", key.state],
    ["Pace", key.pace ? `${usd(key.pace)} a day` : NOTHING],
    ["Runs dry", key.stops.kind === "empty" ? null : time(key.runs_dry_at)],
    ["Next reset", time(key.next_reset_at)],
    ["Expires", time(key.expires_at)],
    ["Last use", time(key.last_used_at, "never")],
    ["Created", time(key.created_at)],
    ["Label", key.label],
    ["Team", key.team],
    ["Workspace", key.workspace],
    ["Creator", key.creator],
    ["External user", key.external_user],
    ["Hash", element("code", {}, key.hash)],
  ].filter(([, value]) => value);
  return element(
    "dl",
    { class: "facts" },
    known.map(([title, value]) => [element("dt", {}, title), element("dd", {}, value)]).flat(),
  );
}

function time(value, otherwise = null) {
  return value ? element("span", { title: ago(value) }, moment(value)) : otherwise;
}

async function showDays(key, section) {
  const title = element("h3", { id: "details-days" }, "Days");
  section.ariaBusy = "true";
  section.replaceChildren(title, loadingState("Reading this key's spend by day…"));
  try {
    const spend = await read("spend", { by: "model", key: key.hash });
    const drawn = spend.groups.length
      ? [daysChart(spend), groupsTable(spend)]
      : [element("p", { class: "quiet" }, "This key spent nothing on these days.")];
    section.replaceChildren(title, ...(spend.notice ? [notice(spend.notice)] : []), ...drawn);
  } catch (problem) {
    section.replaceChildren(title, notice(problem.message));
  }
  section.ariaBusy = "false";
}
