// What stands in the place of data: while it is read, where there is none, and where it could not be read.

import { airflowLink } from "./airflow.js";
import { element } from "./dom.js";
import { mark } from "./marks.js";

const PROBLEMS = {
  logged_out: { title: "You are logged out", mark: "paused", link: ["Log in to Airflow", ""] },
  not_allowed: { title: "You may not see this page", mark: "paused" },
  no_connection: {
    title: "There is no connection to OpenRouter",
    mark: "unknown",
    link: ["Open connections", "connections"],
  },
  refused: { title: "The connection does not work", mark: "stopped", link: ["Open connections", "connections"] },
  unreachable: { title: "OpenRouter could not be reached", mark: "warning" },
  bad_request: { title: "This cannot be shown", mark: "unknown" },
  offline: { title: "Airflow could not be reached", mark: "warning" },
};
const UNEXPECTED = { title: "Something went wrong", mark: "warning" };

/** Return what is shown in the place of data that could not be read. */
export function problemState(problem, retry) {
  const { title, mark: drawn, link } = PROBLEMS[problem.state] ?? UNEXPECTED;
  const onclick = ({ target }) => {
    Object.assign(target, { disabled: true, textContent: "Trying again…" });
    retry();
  };
  const actions = [element("button", { type: "button", onclick }, "Try again")];
  if (link) actions.unshift(airflowLink(link[0], link[1], { class: "button primary" }));
  // Announced by screen readers as it appears.
  return placeholder("problem", "alert", mark(drawn, "warn"), title, problem.message, actions);
}

/** Return what is shown where there is nothing to show. */
export const emptyState = (title, sentence, ...actions) =>
  placeholder("empty", null, mark("key", "off"), title, sentence, actions);

/** Return what is shown while something is read. */
export function loadingState(sentence) {
  const lines = [1, 2, 3, 4].map(() => element("div", { class: "skeleton" }));
  return element("div", { class: "loading" }, element("p", { class: "quiet" }, sentence), lines);
}

/** Return a sentence that qualifies what is shown. */
export function notice(sentence) {
  return element("p", { class: "notice" }, mark("warning", "warn"), element("span", {}, sentence));
}

function placeholder(kind, role, drawn, title, sentence, actions) {
  const says = [element("h2", {}, title), element("p", {}, sentence)];
  return element(
    "div",
    { class: `state ${kind}`, role },
    drawn,
    says,
    element("div", { class: "actions" }, actions),
  );
}
