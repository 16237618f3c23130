// The tabs: one is shown, arrow keys move between them, and the address remembers which.

import { byId } from "./dom.js";

/** Make the tabs work; each of `contents`, by the name of its tab, is opened each time it is shown. */
export function startTabs(list, contents) {
  const names = Object.keys(contents);
  const tabOf = (name) => byId(`tab-${name}`);

  function select(chosen) {
    for (const name of names) {
      tabOf(name).setAttribute("aria-selected", name === chosen);
      tabOf(name).tabIndex = name === chosen ? 0 : -1;
      byId(`panel-${name}`).hidden = name !== chosen;
    }
    contents[chosen].open();
  }

  function choose(name) {
    history.replaceState(null, "", `#${name}`);
    select(name);
  }

  names.forEach((name) => tabOf(name).addEventListener("click", () => choose(name)));
  list.addEventListener("keydown", (event) => {
    const place = names.findIndex((name) => tabOf(name) === event.target);
    const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = names.at(to % names.length);
    tabOf(next).focus();
    choose(next);
  });
  const remembered = location.hash.slice(1);
  select(names.includes(remembered) ? remembered : names[0]);
  return { choose };
}
