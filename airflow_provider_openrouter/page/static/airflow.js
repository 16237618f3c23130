// Airflow's UI around this page. It shows the page in a sandboxed frame, which may neither open windows nor
// (before Airflow 3.3) download, and in which a plain link would open Airflow within Airflow. A link that is
// clicked in the document around the frame may do all of it.

import { element } from "./dom.js";

const ROOT = new URL("../", location.href);

/** Return Airflow's own document, or null where the page was opened by itself. */
export function surroundings() {
  try {
    return parent === window ? null : parent.document;
  } catch {
    return null; // Framed by another origin, which is none of Airflow's.
  }
}

/** Return a link to a page of Airflow; its path is relative to Airflow's root. */
export function airflowLink(text, path, attributes = {}) {
  return leaving(text, new URL(path, ROOT), attributes, {});
}

/** Return a link to another site, which opens in a tab of its own; or its text, if that is no address of the web. */
export function siteLink(text, address, attributes = {}) {
  const url = URL.parse(address ?? "");
  if (url?.protocol !== "https:" && url?.protocol !== "http:") return element("span", {}, text);
  return leaving(text, url, attributes, { target: "_blank", rel: "noopener" });
}

/** Save a file that is made here. */
export function download(name, blob) {
  const address = URL.createObjectURL(blob);
  click({ href: address, download: name });
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function leaving(text, url, attributes, how) {
  const onclick = (event) => {
    if (!surroundings()) return;
    event.preventDefault();
    const inNewTab = event.ctrlKey || event.metaKey || event.shiftKey;
    click({ href: url.href, ...(inNewTab ? { target: "_blank", rel: "noopener" } : how) });
  };
  return element("a", { href: url.href, ...how, ...attributes, onclick }, text);
}

function click(attributes) {
  const around = surroundings() ?? document;
  const link = around.createElement("a");
  Object.entries(attributes).forEach(([name, value]) => link.setAttribute(name, value));
  link.hidden = true;
  around.body.append(link);
  link.click();
  link.remove();
}
