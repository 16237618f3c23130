// The keys that are shown, as a file for spreadsheets.

import { download } from "./airflow.js";

const FIELDS = [
  "name",
  "label",
  "hash",
  "team",
  "workspace",
  "creator",
  "external_user",
  "state",
  "next",
  "is_low",
  "is_expiring",
  "limit",
  "limit_remaining",
  "limit_reset",
  "next_reset_at",
  "runs_dry_at",
  "pace",
  "usage",
  "usage_daily",
  "usage_weekly",
  "usage_monthly",
  "byok_usage",
  "byok_usage_daily",
  "byok_usage_weekly",
  "byok_usage_monthly",
  "created_at",
  "expires_at",
  "last_used_at",
];
const BYTE_ORDER_MARK = "\uFEFF"; // Without it spreadsheets misread what is not ASCII.

/** Return keys as CSV. */
export function csvOf(keys) {
  const lines = keys.map((key) => FIELDS.map((field) => cell(field === "next" ? key.stops.text : key[field])));
  return BYTE_ORDER_MARK + [FIELDS, ...lines].map((line) => `${line.join(",")}\r\n`).join("");
}

/** Save keys in a file that is named after when they were read. */
export function saveCsv(keys, observedAt) {
  const time = observedAt.slice(0, 16).replace(/[-:]/g, "");
  download(`openrouter-keys-${time}.csv`, new Blob([csvOf(keys)], { type: "text/csv;charset=utf-8" }));
}

function cell(value) {
  if (value === null || value === undefined) return "";
  // A text that begins so would be a formula; a number is none, even below zero.
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
