// Amounts, counts and times as people write them: the same words as in the package's messages.

const DOLLARS = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });
const SMALL = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumFractionDigits: 6 });
const NUMBER = new Intl.NumberFormat("en-US");
const ROUND = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumFractionDigits: 0 });
const UNITS = [
  ["days", 86_400, 2],
  ["h", 3_600, 1],
  ["min", 60, 1],
  ["s", 1, 0],
];

const LONGEST = 40; // Characters of a name.

export const NOTHING = "–";

/** Return an amount of USD, such as $4,317.22; below a cent with what digits it has. */
export function usd(amount) {
  if (amount === null || amount === undefined) return NOTHING;
  const isSmall = amount !== 0 && Math.abs(amount) < 0.01;
  return (isSmall ? SMALL : DOLLARS).format(amount);
}

/** Return an amount of USD where there is little room: from $10,000 on without cents. */
export const shortUsd = (amount) => (Math.abs(amount ?? 0) < 10_000 ? usd(amount) : ROUND.format(amount));

/** Return a number with its noun, such as "1 key" or "2,000 keys". */
export const count = (number, noun, plural = `${noun}s`) =>
  `${NUMBER.format(number)} ${number === 1 ? noun : plural}`;

export const number = (value) => NUMBER.format(value);

/** Return a time in the largest unit that fits, such as "40 s" or "3 days". */
export function duration(seconds) {
  const [unit, size] = UNITS.find(([, size, least]) => seconds >= least * size);
  return `${NUMBER.format(Math.round(seconds / size))} ${unit}`;
}

/** Return how long ago a time was, such as "20 s ago"; a time to come is "in 3 days". */
export function ago(time) {
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  return seconds >= 0 ? `${duration(seconds)} ago` : `in ${duration(-seconds)}`;
}

/** Return a time as "2026-12-01 at 00:00 UTC". */
export function moment(time) {
  const iso = new Date(time).toISOString();
  return `${iso.slice(0, 10)} at ${iso.slice(11, 16)} UTC`;
}

export const nameOf = (key) => key.name || "(no name)";

/** Return a few names as part of a sentence, such as "a, b and 3 more". */
export function named(names, most = 3) {
  const shown = names
    .slice(0, most)
    .map((name) => (name.length > LONGEST ? `${name.slice(0, LONGEST)}…` : name))
    .join(", ");
  return names.length > most ? `${shown} and ${number(names.length - most)} more` : shown;
}
