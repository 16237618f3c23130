// Elements from values. Text is only ever set as text, so that no name can become markup.

const SVG = "http://www.w3.org/2000/svg";

/** Return an element. `style` is set property by property: the page's policy allows no style attribute. */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Return an element of SVG. */
export function drawing(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** Return the element of the page that has this id. */
export const byId = (id) => document.getElementById(id);

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name === "style") Object.entries(value).forEach(([property, to]) => made.style.setProperty(property, to));
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (typeof value !== "boolean" || name.startsWith("aria-")) made.setAttribute(name, String(value));
    else if (value) made.setAttribute(name, "");
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}
