// Stacked days, drawn by Plotly where the extra `page` brought it.

import { element } from "./dom.js";
import { colourOf } from "./groups.js";

const MAPS = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";

let loading = null;

/** Return Plotly, or null where it is not installed. It is large, so it is loaded when first asked for. */
export function plotly() {
  loading ??= new Promise((resolve) => {
    // Plotly brings a style for its maps, which the page's policy refuses, unless an element of this id is there.
    document.head.append(element("style", { id: MAPS }));
    const script = element("script", { src: "static/plotly.min.js" });
    script.addEventListener("load", () => resolve(globalThis.Plotly ?? null));
    script.addEventListener("error", () => resolve(null));
    document.head.append(script);
  });
  return loading;
}

/** Draw the days of each group into an element, in the colours of the text around it. */
export async function drawDays(library, place, spend) {
  const { color: ink, borderTopColor: line } = getComputedStyle(place);
  const bars = spend.groups.map((group, at) => ({
    type: "bar",
    name: escaped(group.name),
    x: spend.days,
    y: group.spend,
    marker: { color: colourOf(at) },
    hovertemplate: "%{fullData.name}: %{y:$,.2f}<extra></extra>",
  }));
  const axis = { color: ink, gridcolor: line, zerolinecolor: line, fixedrange: true };
  const layout = {
    barmode: "stack",
    bargap: 0.25,
    height: 320,
    margin: { t: 12, r: 8, b: 40, l: 56 },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { family: getComputedStyle(document.body).fontFamily, color: ink, size: 12 },
    showlegend: false,
    hovermode: "x unified",
    hoverlabel: {
      bgcolor: getComputedStyle(document.body).backgroundColor,
      bordercolor: line,
      font: { color: ink },
    },
    xaxis: { ...axis, type: "date", showgrid: false },
    yaxis: { ...axis, tickprefix: "$", rangemode: "tozero" },
  };
  await library.react(place, bars, layout, { displayModeBar: false, responsive: true });
  library.Plots.resize(place); // It may have been drawn last at another width.
}

// Plotly reads a little markup in names; here they are only text.
const escaped = (name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
