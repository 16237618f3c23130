// The top of the page: one sentence, a few figures, and when all of it was read.

import { siteLink } from "./airflow.js";
import { byId, element } from "./dom.js";
import { headline } from "./headline.js";
import { mark } from "./marks.js";
import { notice } from "./states.js";
import { ago, moment, NOTHING, number, shortUsd } from "./words.js";

const TICK = 5_000;
const CARDS = 7;
const MARKS = { good: "fine", warn: "warning", bad: "stopped", off: "unknown" };

export class Overview {
  #listing = null;
  #credits = null;
  #problem = null;
  #creditsProblem = null;
  #pressed = null;
  #balance = element("div", { class: "card wide" });
  #again = byId("read-again");

  /** `filter` is called with "active", "low" or "expiring" when such a card is pressed, or with "all". */
  constructor({ retry, filter }) {
    this.filter = filter;
    this.#again.addEventListener("click", () => this.#again.ariaDisabled !== "true" && retry());
    setInterval(() => this.#showAge(), TICK);
    byId("cards").append(...Array.from({ length: CARDS }, () => element("div", { class: "card skeleton" })));
  }

  reading() {
    this.#again.ariaDisabled = "true";
    byId("overview").ariaBusy = "true";
    byId("read-result").textContent = "";
  }

  done(isAgain) {
    this.#again.ariaDisabled = "false";
    byId("overview").ariaBusy = "false";
    const result = this.#problem ? this.#problem.message : `Read again. ${byId("headline").textContent}`;
    if (isAgain) byId("read-result").textContent = result;
  }

  showListing(listing) {
    this.#listing = listing;
    this.#problem = null;
    this.#show();
  }

  failListing(problem) {
    this.#problem = problem;
    this.#show();
  }

  showCredits(credits) {
    this.#credits = credits;
    this.#creditsProblem = null;
    this.#showBalance();
  }

  failCredits(problem) {
    this.#creditsProblem = problem;
    this.#showBalance();
  }

  /** Show which card's keys the table shows. */
  press(show) {
    this.#pressed = show;
    for (const card of byId("cards").querySelectorAll("button"))
      card.ariaPressed = String(card.dataset.show === show);
  }

  #show() {
    const listing = this.#listing;
    byId("overview").hidden = !listing && this.#problem; // The tab of keys says why.
    if (!listing) return;
    byId("connection").textContent = `Connection ${listing.connection}`;
    byId("notices").replaceChildren(...this.#notices().map(notice));
    byId("cards").replaceChildren(...this.#cards());
    this.#showBalance();
    this.#showAge();
  }

  /** Show the balance, and the headline, which depends on it too. */
  #showBalance() {
    if (!this.#listing) return;
    this.#balance.replaceChildren(...this.#balanceFigures());
    const { tone, text } = headline(this.#listing, this.#credits);
    byId("headline").replaceChildren(mark(MARKS[tone], tone), element("span", {}, text));
  }

  #notices() {
    const failed = this.#problem && `These figures could not be read again. ${this.#problem.message}`;
    return [failed, this.#listing.notice].filter(Boolean);
  }

  #cards() {
    const { totals, low_within_days: low, expires_within_days: expires } = this.#listing;
    return [
      this.#button("active", "Active keys", totals.active, `of ${number(totals.keys)}`, "calm"),
      this.#button("low", "Low", totals.low, `dry within ${low} days`, totals.low ? "warn" : "good"),
      this.#button(
        "expiring",
        "Expiring",
        totals.expiring,
        `within ${expires} days`,
        totals.expiring ? "warn" : "good",
      ),
      card("Spend today", shortUsd(totals.usage_daily), "since 00:00 UTC"),
      card("This week", shortUsd(totals.usage_weekly), "since Monday"),
      card("This month", shortUsd(totals.usage_monthly), "since the 1st"),
      this.#balance,
    ];
  }

  #button(show, title, amount, note, tone) {
    const onclick = () => this.filter(this.#pressed === show ? "all" : show);
    const pressed = { "data-show": show, "aria-pressed": this.#pressed === show, onclick };
    return element(
      "button",
      { type: "button", class: `card ${tone}`, ...pressed },
      figures(title, number(amount), note),
    );
  }

  #balanceFigures() {
    if (this.#creditsProblem) return figures("Balance", NOTHING, this.#creditsProblem.message);
    if (!this.#credits) return figures("Balance", "…", "reading");
    const { balance, text, notice: remark } = this.#credits;
    const link = siteLink("Credits", this.#listing.links.credits, { class: "more" });
    return [...figures("Balance", shortUsd(balance), remark ?? text), link];
  }

  #showAge() {
    const time = this.#listing?.observed_at;
    const shown = byId("read-at");
    shown.textContent = time
      ? `${this.#listing.source === "snapshot" ? "Snapshot taken" : "Read"} ${ago(time)}`
      : "";
    shown.title = time ? moment(time) : "";
  }
}

const card = (title, figure, note) => element("div", { class: "card" }, ...figures(title, figure, note));

function figures(title, figure, note) {
  return [
    element("span", { class: "card-title" }, title),
    element("span", { class: "figure" }, figure),
    element("span", { class: "note" }, note ?? ""),
  ];
}
