// The entry points of a component: input in, the runbook's function, outcome out. Called by what `sandbook build` makes.

import { EffectError, Failed, install } from "./bridge.js";
import { Outcome } from "./outcome.js";

export { install };

/** The export `run` for a runbook's function. */
export function runs(run) {
  return (given) => {
    const outcome = call(run, given);
    if (outcome instanceof Outcome) return { tag: outcome.kind, val: outcome.text };
    const what = typeof outcome?.then === "function" ? "a promise: effects answer at once, so it must not be async" : typeof outcome;
    throw refusal(new Failed(`run returned ${what}; return done, fixed, nothingToDo or escalate with a sentence`));
  };
}

/** The export `verify` for a runbook's own check. */
export function verifies(verify) {
  return (given) => call(verify, given) === true;
}

function call(entry, given) {
  try {
    return entry(input(given));
  } catch (error) {
    throw refusal(error);
  }
}

/** What the bindings take as the contract's error. */
function refusal(error) {
  if (error instanceof EffectError) return { payload: { tag: error.kind, val: error.text } };
  const place = /([\w./-]+\.m?[jt]s):(\d+)/.exec(error?.stack ?? "");
  const where = place ? ` (${place[1].split("/").pop()}, line ${place[2]})` : "";
  return { payload: { tag: "failed", val: `${error}${where}` } };
}

function input(given) {
  const plain = (value) => (typeof value.val === "bigint" ? Number(value.val) : value.val);
  return {
    alert: given.alert && {
      ...given.alert,
      labels: Object.fromEntries(given.alert.labels),
      annotations: Object.fromEntries(given.alert.annotations),
    },
    target: given.target,
    parameters: Object.fromEntries(given.parameters.map(([name, value]) => [name, plain(value)])),
  };
}
