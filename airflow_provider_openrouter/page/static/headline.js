// The one sentence that answers: will my keys work tomorrow?

import { count, named, nameOf } from "./words.js";

const DAY = 86_400_000;

/**
 * Return the sentence, and its tone: "good", "warn", "bad" or "off".
 *
 * Without credits nothing is known about the balance, on which every key depends.
 */
export function headline(listing, credits) {
  const active = listing.keys.filter((key) => key.state === "active");
  if (!listing.keys.length) return { tone: "off", text: "There are no keys yet." };
  if (!active.length) return { tone: "off", text: "No key is active." };
  if (credits && credits.balance <= 0) return { tone: "bad", text: "The account has no credits left." };

  const seen = Date.parse(listing.observed_at);
  const names = (keys) => named(keys.map(nameOf));
  const works = `${credits ? "Every" : "As far as limits go, every"} active key will work tomorrow`;
  const stopped = active.filter((key) => key.stops.kind === "empty");
  const tomorrow = active.filter((key) => stopsWithin(key, seen, 1));
  const soon = active.filter((key) => stopsWithin(key, seen, listing.low_within_days) && !tomorrow.includes(key));
  const said = [];
  if (stopped.length)
    said.push(`${count(stopped.length, "key has", "keys have")} nothing left: ${names(stopped)}.`);
  if (tomorrow.length)
    said.push(`${count(tomorrow.length, "key stops", "keys stop")} within a day: ${names(tomorrow)}.`);
  if (credits && isWithin(credits.runs_dry_at, seen, 1)) said.push("The account's credits run dry within a day.");
  const tone = stopped.length ? "bad" : said.length || soon.length ? "warn" : "good";
  if (soon.length) {
    const stop = `${count(soon.length, "key stops", "keys stop")} within ${listing.low_within_days} days: ${names(soon)}.`;
    said.push(said.length ? stop : `${works}, but ${stop}`);
  }
  if (!said.length) said.push(`${works}.`);
  return { tone, text: said.join(" ") };
}

const stopsWithin = (key, seen, days) =>
  ["dry", "expiry"].includes(key.stops.kind) && isWithin(key.stops.at, seen, days);
const isWithin = (time, seen, days) => Boolean(time) && Date.parse(time) - seen <= days * DAY;
