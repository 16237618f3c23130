// A table of any length: sorted by its heads, moved through by arrow keys.

import { element } from "./dom.js";
import { WindowedRows } from "./rows.js";

const COLLATOR = new Intl.Collator("en", { numeric: true });

export class KeyTable {
  #columns;
  #sort = { id: "next", falls: false };
  #heads = new Map();
  #rows;

  constructor({ columns, sorted, open }) {
    this.#columns = columns;
    const body = element("div", { class: "rows", role: "rowgroup" });
    this.#rows = new WindowedRows(body, (key, place) => this.#row(key, place, open));
    const head = element(
      "div",
      { class: "row head", role: "row", "aria-rowindex": 1 },
      columns.map((column) => this.#head(column, sorted)),
    );
    this.element = element(
      "div",
      { class: "table", role: "table", "aria-label": "Keys", "aria-colcount": columns.length },
      element("div", { class: "heads", role: "rowgroup" }, head),
      body,
    );
    this.#showSort();
  }

  /** Return keys in the order of the column that was chosen; what a key has no value for comes last. */
  sorted(keys) {
    const { order } = this.#columns.find((column) => column.id === this.#sort.id);
    const turn = this.#sort.falls ? -1 : 1;
    return keys.toSorted((one, other) => {
      const [a, b] = [order(one) ?? null, order(other) ?? null];
      if (a === null || b === null) return (a === null) - (b === null);
      return turn * (typeof a === "string" ? COLLATOR.compare(a, b) : a - b);
    });
  }

  show(keys) {
    this.element.setAttribute("aria-rowcount", keys.length + 1);
    this.#rows.show(keys);
  }

  draw() {
    this.#rows.draw();
  }

  #head(column, sorted) {
    const press = () => {
      const isSame = this.#sort.id === column.id;
      this.#sort = { id: column.id, falls: isSame ? !this.#sort.falls : Boolean(column.falls) };
      this.#showSort();
      sorted();
    };
    const button = element(
      "button",
      { type: "button", onclick: press },
      column.title,
      element("span", { class: "arrow", "aria-hidden": "true" }),
    );
    const head = element("div", { role: "columnheader", class: `cell ${column.id}` }, button);
    this.#heads.set(column.id, head);
    return head;
  }

  #showSort() {
    for (const [id, head] of this.#heads) {
      head.setAttribute(
        "aria-sort",
        id !== this.#sort.id ? "none" : this.#sort.falls ? "descending" : "ascending",
      );
    }
  }

  #row(key, place, open) {
    const cells = this.#columns.map((column) =>
      element("div", { role: "cell", class: `cell ${column.id}` }, column.cell(key)),
    );
    const row = element(
      "div",
      { class: `row ${key.state}`, role: "row", "aria-rowindex": place + 2, "data-hash": key.hash },
      cells,
    );
    row.addEventListener("click", () => !getSelection()?.toString() && open(key));
    return row;
  }
}
