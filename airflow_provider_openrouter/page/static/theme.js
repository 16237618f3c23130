// Light or dark: as Airflow's UI around this page, or as the system where the page stands alone.

import { surroundings } from "./airflow.js";

/** Follow the theme, and tell what is drawn in colours of its own when it changes. */
export function followTheme(changed) {
  const airflow = surroundings();
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = airflow?.documentElement;
  const apply = () => {
    const isDark = root ? root.classList.contains("dark") : system.matches;
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    changed();
  };
  if (root) new MutationObserver(apply).observe(root, { attributeFilter: ["class"] });
  else system.addEventListener("change", apply);
  apply();
}
