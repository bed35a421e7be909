// Rollouts and experiments by docs/reference/rollout.md, written from that page and from the
// published description of MurmurHash3 alone: it shares nothing with the ledger's own code.
//
//   node rollout.mjs vectors.json     answers {"checked": {section: cases}, "wrong": [...]}

import { readFileSync } from "node:fs";

const EVERYONE = 100000n;
const utf8 = new TextEncoder();

// MurmurHash3_x86_32, seed 0, unsigned.
export function murmur3(bytes) {
  const rotated = (n, by) => (n << by) | (n >>> (32 - by));
  const mixed = (k) => Math.imul(rotated(Math.imul(k, 0xcc9e2d51), 15), 0x1b873593);
  const whole = bytes.length & ~3;
  let h = 0;
  for (let i = 0; i < whole; i += 4) {
    const k = bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
    h = (Math.imul(rotated(h ^ mixed(k), 13), 5) + 0xe6546b64) | 0;
  }
  let tail = 0;
  for (let i = bytes.length - 1; i >= whole; i--) tail = (tail << 8) | bytes[i];
  if (bytes.length > whole) h ^= mixed(tail);
  h ^= bytes.length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

export const hash = (salt, unit) => murmur3(utf8.encode(`${salt}:${unit}`));

export const bucket = (salt, unit) => Number((BigInt(hash(salt, unit)) * EVERYONE) >> 32n);

export const thousandths = (percentage) => Math.round(percentage * 1000);

export function limit(count) {
  return Number((BigInt(count) * 2n ** 32n + EVERYONE - 1n) / EVERYONE);
}

// The text that a unit's value is hashed as; null: it is no unit.
export function unitText(value) {
  if (typeof value === "string") return value;
  if (typeof value === "boolean" || typeof value === "number") return String(value);
  return null;
}

// The same of a value as JSON writes it: whole numbers that no double holds are kept in full.
export function unitTextOf(json) {
  return /^-?\d+$/.test(json) ? String(BigInt(json)) : unitText(JSON.parse(json));
}

// Microseconds since 1970, of an RFC 3339 instant.
export function instant(text) {
  const [, seconds, fraction, offset] = /^(.*T\d\d:\d\d:\d\d)(?:\.(\d+))?(.*)$/.exec(text);
  const micros = (fraction ?? "").slice(0, 6).padEnd(6, "0");
  return BigInt(Date.parse(seconds + offset)) * 1000n + BigInt(micros);
}

// In thousandths of a percent.
export function inForce(rollout, at) {
  if (rollout.ramp === undefined) return thousandths(rollout.percentage);
  const come = rollout.ramp.filter((step) => instant(step.at) <= instant(at));
  return come.length ? thousandths(come.at(-1).percentage) : 0;
}

export function includes(rollout, configId, value, at) {
  const unit = unitText(value);
  return unit !== null && bucket(rollout.salt ?? configId, unit) < inForce(rollout, at);
}

export function draw(weights, h) {
  const total = weights.reduce((sum, weight) => sum + BigInt(weight), 0n);
  const place = (BigInt(h) * total) >> 32n;
  let cumulative = 0n;
  return weights.findIndex((weight) => (cumulative += BigInt(weight)) > place);
}

function enrolled(experiment, unit) {
  if (experiment.group === undefined) {
    return bucket(experiment.experiment_id, unit) < thousandths(experiment.percentage ?? 100);
  }
  const place = bucket(`${experiment.group}:group`, unit);
  return experiment.ranges.some(([begin, end]) => begin <= place && place < end);
}

function heldOut({ holdout }, unit) {
  if (holdout === undefined) return false;
  return bucket(`${holdout.name}:holdout`, unit) < thousandths(holdout.percentage);
}

export function assign(experiment, value) {
  const unit = unitText(value);
  if (unit === null || heldOut(experiment, unit) || !enrolled(experiment, unit)) return null;
  const weights = experiment.variations.map((variation) => variation.weight);
  const h = hash(`${experiment.experiment_id}:variation`, unit);
  return experiment.variations[draw(weights, h)].name;
}

// What each section's cases must say, from their inputs.
const ANSWERS = {
  hashes: (c) => ({ hash: murmur3(Buffer.from(c.hex, "hex")) }),
  buckets: (c) => ({ hash: hash(c.salt, c.unit), bucket: bucket(c.salt, c.unit) }),
  unit_texts: (c) => ({ text: unitTextOf(c.json) }),
  limits: (c) => ({ thousandths: thousandths(c.percentage), limit: limit(c.thousandths) }),
  ramps: (c) => ({ thousandths: inForce(c, c.at) }),
  inclusions: (c) => ({
    included: c.included.map(([unit]) => [unit, includes(c.rollout, c.config_id, unit, c.at)]),
  }),
  draws: (c) => ({ index: draw(c.weights, c.hash) }),
  experiments: (c) => ({
    assigned: c.assigned.map(([unit]) => [unit, assign(c.experiment, unit)]),
  }),
};

function checked(vectors) {
  const wrong = [];
  const counts = {};
  for (const [section, { cases }] of Object.entries(vectors)) {
    counts[section] = cases.length;
    for (const given of cases) {
      for (const [member, answer] of Object.entries(ANSWERS[section](given))) {
        if (JSON.stringify(answer) !== JSON.stringify(given[member])) {
          wrong.push({ section, case: given, member, answer });
        }
      }
    }
  }
  return { checked: counts, wrong };
}

if (process.argv[2] !== undefined) {
  console.log(JSON.stringify(checked(JSON.parse(readFileSync(process.argv[2], "utf8")))));
}
