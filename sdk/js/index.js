// What a runbook in JavaScript or TypeScript is written with: effects, outcomes, errors.

export * from "./effects.js";
export { Conflict, Denied, EffectError, Failed, Invalid, Limited, NotFound, Timeout } from "./bridge.js";
export { done, escalate, fixed, nothingToDo, Outcome } from "./outcome.js";
