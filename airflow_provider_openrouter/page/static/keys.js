// The tab of keys: what may be searched, filtered, sorted, opened and saved.

import { siteLink } from "./airflow.js";
import { COLUMNS } from "./columns.js";
import { saveCsv } from "./csv.js";
import { openDetails } from "./details.js";
import { element } from "./dom.js";
import { Filters } from "./filters.js";
import { emptyState, loadingState, problemState } from "./states.js";
import { KeyTable } from "./table.js";
import { count, number } from "./words.js";

export class KeysTab {
  #panel;
  #listing = null;
  #filters = new Filters(() => this.#update());
  #table = new KeyTable({
    columns: COLUMNS,
    sorted: () => this.#update(),
    open: (key) => openDetails(key, this.#listing),
  });
  #found = element("p", { class: "quiet", role: "status" });
  #csv = element(
    "button",
    { type: "button", onclick: () => saveCsv(this.#shown(), this.#listing.observed_at) },
    "Save as CSV",
  );
  #bar = element(
    "div",
    { class: "toolbar" },
    this.#filters.element,
    element("div", { class: "found" }, this.#found, this.#csv),
  );
  #nothing = element("div");

  constructor(panel, { retry, filtered }) {
    this.#panel = panel;
    this.retry = retry;
    this.filtered = filtered;
    panel.append(loadingState("Reading the keys…"));
  }

  open() {
    this.#table.draw();
  }

  show(listing) {
    this.#listing = listing;
    listing.keys.forEach((key, place) => {
      key.place = place;
    }); // The server sorts by what stops first.
    if (!listing.keys.length) {
      const link = siteLink("Create a key", listing.links.keys, { class: "button primary" });
      return this.#panel.replaceChildren(
        emptyState("No keys yet", "The keys of this account show here once it has some.", link),
      );
    }
    this.#filters.offer(listing.keys);
    if (!this.#table.element.isConnected)
      this.#panel.replaceChildren(this.#bar, this.#table.element, this.#nothing);
    this.#update();
  }

  /** Show a problem, unless there are keys to go on showing. */
  fail(problem) {
    if (!this.#listing) this.#panel.replaceChildren(problemState(problem, this.retry));
  }

  /** Show only "active", "low", "expiring", "disabled" or "expired" keys, or "all". */
  filter(show) {
    this.#filters.show = show;
    this.#update();
  }

  #shown() {
    return this.#table.sorted(this.#listing.keys.filter(this.#filters.matcher()));
  }

  #update() {
    if (!this.#listing) return;
    const shown = this.#shown();
    const all = this.#listing.keys.length;
    this.filtered(this.#filters.show);
    this.#table.element.hidden = this.#csv.hidden = !shown.length; // Rows are only drawn where they are seen.
    this.#table.show(shown);
    this.#found.textContent =
      shown.length === all ? count(all, "key") : `${number(shown.length)} of ${count(all, "key")}`;
    const clear = element("button", { type: "button", onclick: () => this.#filters.clear() }, "Show all keys");
    this.#nothing.replaceChildren(
      ...(shown.length
        ? []
        : [emptyState("No key matches", "Search for something else, or clear the filters.", clear)]),
    );
  }
}
