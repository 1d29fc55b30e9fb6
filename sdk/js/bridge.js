// How values cross between the engine's bindings and this package: a shape per type, an `effect` per function.
// Inside the engine `install` hands over the bindings; off the engine a test's world answers.

/** An effect's error: a value the runbook can catch. `kind` is how policies, journals and other languages spell it. */
export class EffectError extends Error {
  constructor(kind, text) {
    super(`${kind}: ${text}`);
    this.name = new.target.name;
    this.kind = kind;
    this.text = text;
  }
}
export class Denied extends EffectError { constructor(text = "") { super("denied", text); } }
export class Invalid extends EffectError { constructor(text = "") { super("invalid", text); } }
export class NotFound extends EffectError { constructor(text = "") { super("not-found", text); } }
export class Conflict extends EffectError { constructor(text = "") { super("conflict", text); } }
export class Timeout extends EffectError { constructor(text = "") { super("timeout", text); } }
export class Limited extends EffectError { constructor(text = "") { super("limited", text); } }
export class Failed extends EffectError { constructor(text = "") { super("failed", text); } }

const KINDS = {
  denied: Denied, invalid: Invalid, "not-found": NotFound, conflict: Conflict, timeout: Timeout, limited: Limited,
  failed: Failed,
};

const same = (value) => value;
export const text = { lower: same, lift: same };
export const flag = text;
export const number = text;
export const whole = text;
export const unit = text;
/** 64 bits cross as bigint; authors see numbers. */
export const wide = { lower: (value) => BigInt(value), lift: (value) => Number(value) };
export const container = { lower: (value) => (value && typeof value === "object" ? value.handle : value), lift: same };
export const maybe = (inner) => ({
  lower: (value) => (value === undefined || value === null ? undefined : inner.lower(value)),
  lift: (value) => (value === undefined || value === null ? undefined : inner.lift(value)),
});
export const list = (inner) => ({ lower: (value) => value.map(inner.lower), lift: (value) => Array.from(value, inner.lift) });
export const pairs = (inner) => ({
  lower: (value) => Object.entries(value).map(([key, item]) => [key, inner.lower(item)]),
  lift: (value) => Object.fromEntries(value.map(([key, item]) => [key, inner.lift(item)])),
});
export const tuple = (...inner) => ({
  lower: (value) => inner.map((shape, index) => shape.lower(value[index])),
  lift: (value) => inner.map((shape, index) => shape.lift(value[index])),
});
export const record = (fields) => {
  const entries = Object.entries(fields);
  const map = (way) => (value) => {
    const made = {};
    for (const [name, shape] of entries) made[name] = shape[way](value?.[name]);
    return made;
  };
  const known = new Set(Object.keys(fields));
  const lower = map("lower");
  return {
    lower: (value) => {
      // A misspelt option would silently mean its default.
      const unknown = Object.keys(value ?? {}).find((name) => !known.has(name));
      if (unknown !== undefined) throw new Invalid(`there is no option ${unknown}; there are ${[...known].join(", ")}`);
      return lower(value);
    },
    lift: map("lift"),
  };
};

let bindings;
let world;

/** Called by what `sandbook build` makes: the functions the manifest requests, by name of the effect. */
export function install(functions) {
  bindings = functions;
}

/** Makes a test's world answer; returns the one before. */
export function enter(next) {
  const before = world;
  world = next;
  return before;
}

export function effect(name, parameters, answer) {
  const entries = Object.entries(parameters);
  const perform = (...given) => {
    if (given.length > entries.length) throw new Invalid(`${name} takes ${entries.length} arguments, not ${given.length}`);
    if (world) {
      return world.perform(name, Object.fromEntries(entries.map(([parameter], index) => [parameter, given[index]])));
    }
    const bound = bindings?.[name];
    if (!bound) throw absent(name);
    const lowered = entries.map(([, shape], index) => shape.lower(given[index]));
    let answered;
    try {
      answered = bound(...lowered);
    } catch (error) {
      const payload = error?.payload ?? error;
      const Kind = KINDS[payload?.tag];
      if (!Kind) throw error;
      throw new Kind(payload.val);
    }
    return answer.lift(answered);
  };
  Object.defineProperty(perform, "name", { value: name });
  return perform;
}

function absent(name) {
  if (bindings) {
    return new Denied(`the manifest does not request ${name}; add it under [requests] and build again`);
  }
  return new Error(`${name} exists only inside the engine; in a test, play it in a World of sandbook/testing`);
}
