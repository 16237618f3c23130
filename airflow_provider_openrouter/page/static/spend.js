// The tab of spend: the days, by model, workspace, team or key.

import { read } from "./api.js";
import { drawDays, plotly } from "./chart.js";
import { daysChart, daysTable, totals } from "./days.js";
import { element } from "./dom.js";
import { groupsTable } from "./groups.js";
import { emptyState, loadingState, notice, problemState } from "./states.js";
import { usd } from "./words.js";

const SPANS = [30, 90, 365];

/** Return when spend shows of which there is none yet. */
const whenSpendShows = ({ source, by }) =>
  source === "warehouse" && ["team", "key"].includes(by)
    ? `Spend by ${by} shows here from the second day's snapshot of the keys on.`
    : "A day's spend shows here once the day is over (UTC).";

export class SpendTab {
  #panel;
  #asked = { by: "model", days: SPANS[0] };
  #choices = element("div", { class: "toolbar" });
  #content = element("div");
  #chart = null;
  #spend = null;
  #latest = null;

  constructor(panel) {
    this.#panel = panel;
    panel.append(this.#choices, this.#content);
  }

  open() {
    if (this.#latest) this.redraw();
    else this.#read();
  }

  /** Read again what is shown. */
  reload() {
    if (!this.#latest) return;
    if (this.#panel.hidden) this.#latest = null;
    else this.#read(true);
  }

  /** Draw the chart again, for another theme or another width; while it is hidden it has none. */
  async redraw() {
    if (this.#chart?.isConnected && !this.#panel.hidden) drawDays(await plotly(), this.#chart, this.#spend);
  }

  async #read(fresh) {
    const asking = (this.#latest = { ...this.#asked, fresh });
    const isStale = () => this.#latest !== asking;
    this.#panel.ariaBusy = "true";
    if (!this.#spend) this.#content.replaceChildren(loadingState("Reading the spend of each day…"));
    try {
      const [spend, library] = await Promise.all([read("spend", asking), plotly()]);
      if (!isStale()) this.#show(spend, library);
    } catch (problem) {
      if (!isStale()) this.#fail(problem);
    }
    if (!isStale()) this.#panel.ariaBusy = "false";
  }

  #show(spend, library) {
    if (spend.source !== this.#spend?.source) this.#offer(spend);
    this.#spend = spend;
    const remark = spend.notice ? [notice(spend.notice)] : [];
    if (!spend.groups.length) {
      return this.#content.replaceChildren(
        ...remark,
        emptyState("No spend on these days", whenSpendShows(spend)),
      );
    }
    const sum = totals(spend).reduce((one, other) => one + other, 0);
    const title = element("h2", { class: "sum" }, `${usd(sum)} in ${spend.days.length} days`);
    this.#chart = library
      ? element("div", { class: "chart", role: "img", "aria-label": `Spend of each day by ${spend.by}` })
      : null;
    this.#content.replaceChildren(
      ...remark,
      title,
      this.#chart ?? daysChart(spend),
      groupsTable(spend),
      daysTable(spend),
    );
    this.redraw();
  }

  #fail(problem) {
    this.#content.replaceChildren(problemState(problem, () => this.#read(true)));
  }

  /** Offer what can be asked for: once, as what has the focus must stay. */
  #offer({ choices, source }) {
    this.#choices.replaceChildren(this.#by(choices), ...(source === "warehouse" ? [this.#span()] : []));
  }

  #by(choices) {
    const options = choices.map((by) =>
      element(
        "label",
        {},
        element("input", {
          type: "radio",
          name: "by",
          value: by,
          checked: by === this.#asked.by,
          onchange: () => this.#ask({ by }),
        }),
        element("span", {}, by[0].toUpperCase() + by.slice(1)),
      ),
    );
    return element("fieldset", { class: "choice" }, element("legend", {}, "By"), options);
  }

  #span() {
    const onchange = (event) => this.#ask({ days: Number(event.target.value) });
    const options = SPANS.map((days) =>
      element("option", { value: days, selected: days === this.#asked.days }, `${days} days`),
    );
    return element("select", { "aria-label": "Days", onchange }, options);
  }

  #ask(changed) {
    Object.assign(this.#asked, changed);
    this.#read();
  }
}
