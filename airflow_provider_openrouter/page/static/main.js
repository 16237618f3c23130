// The page as a whole: reads the keys and the credits, and opens each tab when it is chosen.

import { read } from "./api.js";
import { byId } from "./dom.js";
import { KeysTab } from "./keys.js";
import { Overview } from "./overview.js";
import { SpendTab } from "./spend.js";
import { startTabs } from "./tabs.js";
import { followTheme } from "./theme.js";
import { WatchersTab } from "./watchers.js";

const retry = () => readAll(true);
const keys = new KeysTab(byId("panel-keys"), { retry, filtered: (show) => overview.press(show) });
const spend = new SpendTab(byId("panel-spend"));
const watchers = new WatchersTab(byId("panel-watchers"), byId("watchers-tally"));
const tabs = startTabs(byId("tabs"), { keys, spend, watchers });
const overview = new Overview({
  retry,
  filter: (show) => {
    tabs.choose("keys");
    keys.filter(show);
  },
});

followTheme(() => spend.redraw());
readAll(false).then(() => watchers.open());

async function readAll(fresh) {
  const parameters = fresh ? { fresh: "true" } : {};
  const listing = read("keys", parameters).then(
    (read) => {
      overview.showListing(read);
      keys.show(read);
    },
    (problem) => {
      overview.failListing(problem);
      keys.fail(problem);
    },
  );
  const credits = read("credits", parameters).then(
    (read) => overview.showCredits(read),
    (problem) => overview.failCredits(problem),
  );
  if (fresh) [spend, watchers].forEach((tab) => tab.reload());
  overview.reading();
  await Promise.allSettled([listing, credits]);
  overview.done(fresh);
}
