// What narrows the table: a search, a kind of keys, a workspace and a team.

import { element } from "./dom.js";

const KINDS = {
  all: ["All keys", () => true],
  active: ["Active", (key) => key.state === "active"],
  low: ["Low", (key) => key.is_low],
  expiring: ["Expiring", (key) => key.is_expiring],
  disabled: ["Disabled", (key) => key.state === "disabled"],
  expired: ["Expired", (key) => key.state === "expired"],
};

export class Filters {
  #changed;
  #texts = new WeakMap();
  #search;
  #show;
  #workspace = select("Workspace", () => this.#changed());
  #team = select("Team", () => this.#changed());

  constructor(changed) {
    this.#changed = changed;
    const words = {
      type: "search",
      placeholder: "Search",
      "aria-label": "Search keys",
      autocomplete: "off",
      spellcheck: "false",
    };
    this.#search = element("input", { ...words, oninput: () => changed() });
    this.#show = select("Show", changed);
    this.#show.append(...Object.entries(KINDS).map(([value, [title]]) => element("option", { value }, title)));
    this.element = element("search", { class: "filters" }, this.#search, this.#show, this.#workspace, this.#team);
  }

  get show() {
    return this.#show.value;
  }

  set show(kind) {
    this.#show.value = kind;
  }

  clear() {
    this.#show.value = "all";
    for (const field of [this.#search, this.#workspace, this.#team]) field.value = "";
    this.#search.focus();
    this.#changed();
  }

  /** Offer the workspaces and teams of these keys; what was chosen stays chosen if it is still there. */
  offer(keys) {
    offer(
      this.#workspace,
      "All workspaces",
      keys.map((key) => key.workspace),
    );
    offer(
      this.#team,
      "All teams",
      keys.map((key) => key.team),
    );
  }

  /** Return what tells whether a key is shown. */
  matcher() {
    const words = this.#search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const isOfKind = KINDS[this.#show.value][1];
    const workspace = this.#workspace.value;
    const team = this.#team.value;
    return (key) =>
      isOfKind(key) &&
      (!workspace || key.workspace === workspace) &&
      (!team || key.team === team) &&
      words.every((word) => this.#textOf(key).includes(word));
  }

  #textOf(key) {
    let text = this.#texts.get(key);
    if (text === undefined) {
      text = [key.name, key.label, key.hash, key.workspace, key.team, key.creator]
        .filter(Boolean)
        .join("\n")
        .toLowerCase();
      this.#texts.set(key, text);
    }
    return text;
  }
}

const select = (label, onchange) => element("select", { "aria-label": label, onchange });

function offer(field, everything, names) {
  const chosen = field.value;
  const known = [...new Set(names.filter(Boolean))].sort((a, b) => a.localeCompare(b));
  field.replaceChildren(
    element("option", { value: "" }, everything),
    ...known.map((name) => element("option", { value: name }, name)),
  );
  field.value = known.includes(chosen) ? chosen : "";
  field.hidden = known.length < 2;
}
