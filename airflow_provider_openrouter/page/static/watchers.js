// The tab of watchers: raises that wait for an answer, then each event trigger that watches.

import { airflowLink } from "./airflow.js";
import { read } from "./api.js";
import { element } from "./dom.js";
import { mark } from "./marks.js";
import { emptyState, loadingState, notice, problemState } from "./states.js";
import { ago, count, duration, moment, number } from "./words.js";

const STATES = {
  failing: ["Failing", "stopped", "bad"],
  "not running": ["Not running", "paused", "warn"],
  unknown: ["Unknown", "unknown", "off"],
  watching: ["Watching", "fine", "good"],
};

/** Seconds after which a watcher stores when it last polled, though nothing has changed. */
const STORED_EVERY = 300;

export class WatchersTab {
  #panel;
  #tally;
  #isRead = false;

  /** `tally` shows on the tab how many watchers fail and raises wait, so that nobody need open it to know. */
  constructor(panel, tally) {
    this.#panel = panel;
    this.#tally = tally;
  }

  open() {
    if (!this.#isRead) this.reload();
  }

  async reload() {
    this.#isRead = true;
    this.#panel.ariaBusy = "true";
    if (!this.#panel.hasChildNodes()) this.#panel.append(loadingState("Reading the watchers…"));
    try {
      this.#show(await read("watchers"));
    } catch (problem) {
      this.#panel.replaceChildren(problemState(problem, () => this.reload()));
    }
    this.#panel.ariaBusy = "false";
  }

  #show({ notice: remark, watchers, approvals }) {
    const urgent = approvals.length + watchers.filter((seen) => seen.state === "failing").length;
    const meaning = element("span", { class: "unseen" }, " to look at");
    this.#tally.replaceChildren(
      ...(urgent ? [element("span", { class: "tally" }, number(urgent), meaning)] : []),
    );
    const nobody = emptyState(
      "No watchers yet",
      "Event triggers that watch keys or credits show here: see “Start a DAG when a key runs low” in the docs.",
    );
    this.#panel.replaceChildren(
      ...(remark ? [notice(remark)] : []),
      ...(approvals.length ? [part("Waiting for an answer", approvals.map(approval))] : []),
      ...(watchers.length ? [part("Watchers", watchers.map(watcher))] : remark ? [] : [nobody]),
    );
  }
}

function part(title, items) {
  return element(
    "section",
    { class: "part" },
    element("h2", {}, title),
    element("ul", { class: "cards-list" }, items),
  );
}

function approval({ subject, dag_id, since, url }) {
  return element(
    "li",
    { class: "item waiting" },
    element(
      "div",
      { class: "item-head" },
      mark("clock", "warn"),
      element("h3", {}, subject),
      airflowLink("Answer", url, { class: "button primary", "aria-label": `Answer: ${subject}` }),
    ),
    element("p", { class: "quiet", title: moment(since) }, "Asked by ", dagLink(dag_id), ` ${ago(since)}`),
  );
}

const dagLink = (dag) => airflowLink(dag, `dags/${encodeURIComponent(dag)}`);

function watcher(seen) {
  const [title, drawn, tone] = STATES[seen.state] ?? STATES.unknown;
  return element(
    "li",
    { class: `item ${tone}` },
    element(
      "div",
      { class: "item-head" },
      mark(drawn, tone),
      element("h3", {}, seen.asset),
      element("span", { class: `badge ${tone}` }, title),
    ),
    element("p", {}, sentence(seen)),
    facts(seen),
  );
}

/** Return what state a watcher is in, as a sentence. */
function sentence({ state, looked_at: looked, failing_since: since, error, failures, watched, low, watches }) {
  const last = looked ? `It last polled ${ago(looked)}` : "When it last polled is not known";
  if (state === "failing")
    return `${error ?? "It fails."} Failing since ${moment(since)}, ${count(failures, "time")} in a row.`;
  if (error) return error;
  if (state === "not running") return `Nothing runs it: unpause its DAG, or start the triggerer. ${last}.`;
  if (watches === "keys" && looked && watched !== null)
    return `${last}: ${low ?? 0} of ${count(watched, "key")} low.`;
  return `${last}.`;
}

/** Return how often a watcher polls, and why its last poll that is known may be long ago. */
function polls({ poll_interval: interval, looked_at: looked }) {
  const shown = `, shown here every ${duration(STORED_EVERY)} or when something changes`;
  return `every ${duration(interval)}${looked && interval < STORED_EVERY ? shown : ""}`;
}

function facts(seen) {
  const dags = seen.dags.map(dagLink);
  const report = seen.reported && [
    seen.reported.text,
    element("span", { class: "quiet" }, `, ${ago(seen.reported.at)}`),
  ];
  const known = [
    [
      "Watches",
      [seen.connection ? `${seen.watches} of ${seen.connection}` : seen.watches, seen.scope]
        .filter(Boolean)
        .join(", "),
    ],
    ["Rule", seen.rule],
    ["Polls", seen.poll_interval && polls(seen)],
    ["Last report", report ?? "none known"],
    [
      dags.length === 1 ? "DAG" : "DAGs",
      dags.length ? dags.flatMap((link, place) => (place ? [", ", link] : [link])) : "none",
    ],
  ].filter(([, value]) => value);
  return element(
    "dl",
    { class: "facts" },
    known.flatMap(([title, value]) => [element("dt", {}, title), element("dd", {}, value)]),
  );
}
