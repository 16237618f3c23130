// The tab of watchers: raises that wait for an answer, then each event trigger that watches.

import { airflowLink } from "./airflow.js";
import { read } from "./api.js";
import { element } from "./dom.js";
import { mark } from "./marks.js";
import { emptyState, loadingState, notice, problemState } from "./states.js";
import { ago, count, moment } from "./words.js";

const STATES = {
  watching: ["Watching", "fine", "good"],
  failing: ["Failing", "stopped", "bad"],
  unknown: ["Unknown", "unknown", "off"],
  "not running": ["Not running", "paused", "warn"],
};

export class WatchersTab {
  #panel;
  #isRead = false;

  constructor(panel) {
    this.#panel = panel;
  }

  open() {
    if (!this.#isRead) this.#read();
  }

  /** Read again what is shown. */
  reload() {
    if (this.#isRead && !this.#panel.hidden) this.#read();
    else this.#isRead = false;
  }

  async #read() {
    this.#isRead = true;
    this.#panel.ariaBusy = "true";
    if (!this.#panel.hasChildNodes()) this.#panel.append(loadingState("Reading the watchers…"));
    try {
      this.#show(await read("watchers"));
    } catch (problem) {
      this.#panel.replaceChildren(problemState(problem, () => this.#read()));
    }
    this.#panel.ariaBusy = "false";
  }

  #show({ notice: remark, watchers, approvals }) {
    const nobody = emptyState("Nobody watches yet", "A DAG that is scheduled on an asset with a key-limit trigger shows here: see “Wait for low keys” in the docs.");
    this.#panel.replaceChildren(
      ...(remark ? [notice(remark)] : []),
      ...(approvals.length ? [part("Waiting for an answer", approvals.map(approval))] : []),
      ...(watchers.length ? [part("Watchers", watchers.map(watcher))] : remark ? [] : [nobody]),
    );
  }
}

function part(title, items) {
  return element("section", { class: "part" }, element("h2", {}, title), element("ul", { class: "cards-list" }, items));
}

function approval({ subject, dag_id, since, url }) {
  return element("li", { class: "item waiting" },
    element("div", { class: "item-head" }, mark("clock", "warn"), element("h3", {}, subject), airflowLink("Answer", url, { class: "button primary", "aria-label": `Answer: ${subject}` })),
    element("p", { class: "quiet" }, `${dag_id} asks since `, element("span", { title: moment(since) }, moment(since))));
}

function watcher(seen) {
  const [title, drawn, tone] = STATES[seen.state] ?? STATES.unknown;
  return element("li", { class: `item ${tone}` },
    element("div", { class: "item-head" }, mark(drawn, tone), element("h3", {}, seen.asset), element("span", { class: `badge ${tone}` }, title)),
    element("p", {}, sentence(seen)),
    facts(seen));
}

/** Return what state a watcher is in, as a sentence. */
function sentence({ state, looked_at: looked, failing_since: since, error, failures, watched, low, watches }) {
  const last = looked ? `It last looked ${ago(looked)}` : "When it last looked is not known";
  if (state === "failing") return `${error ?? "It fails."} ${since ? `Failing since ${moment(since)}, ${count(failures, "time")} in a row.` : ""}`.trim();
  if (state === "not running") return `Nothing runs it: unpause its DAG, or start the triggerer. ${last}.`;
  if (!looked) return `${last}.`;
  if (watches === "keys" && watched !== null) return `${last}: ${low ?? 0} of ${count(watched, "key")} low.`;
  return `${last}.`;
}

function facts(seen) {
  const dags = seen.dags.map((dag) => airflowLink(dag, `dags/${encodeURIComponent(dag)}`));
  const report = seen.reported && [seen.reported.text, element("span", { class: "quiet" }, `, ${ago(seen.reported.at)}`)];
  const known = [
    ["Watches", `${seen.watches} of ${seen.connection}${seen.scope ? `, ${seen.scope}` : ""}`],
    ["Rule", seen.rule],
    ["Looks", `every ${seen.poll_interval} s`],
    ["Last report", report ?? "none yet"],
    [dags.length === 1 ? "DAG" : "DAGs", dags.length ? dags.flatMap((link, place) => (place ? [", ", link] : [link])) : "none"],
  ];
  return element("dl", { class: "facts" }, known.flatMap(([title, value]) => [element("dt", {}, title), element("dd", {}, value)]));
}
