// What a runbook in JavaScript or TypeScript is written with.

import type { TargetKind } from "./effects.js";

export * from "./effects.js";

/** What the run is about. Pass it wherever a container is expected. */
export interface Target {
  /** Stays the same when the container is recreated. */
  handle: string;
  host: string;
  kind: TargetKind;
  name: string;
  /** The instance the run was started for; absent for services and hosts. */
  id?: string;
}

/** A container: the run's target, a name on the run's own host, or `host/name`. */
export type Container = string | Target;

/** What fired. */
export interface Alert {
  /** The label `alertname`. */
  name: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  startsAt: string;
  fingerprint: string;
}

/** A parameter, typed by the manifest; durations are milliseconds. */
export type Value = string | number | boolean;

/** Everything a run is given. */
export interface Input {
  /** Absent in manual, scheduled and event-triggered runs. */
  alert?: Alert;
  /** Absent when the runbook's target kind is `none`. */
  target?: Target;
  parameters: Record<string, Value>;
}

/** How a run ended, in a sentence a person reads at three in the morning. */
export interface Outcome {
  readonly kind: "done" | "fixed" | "nothing-to-do" | "escalate";
  readonly text: string;
}

/** Did what it is for; nothing was broken. */
export function done(text: string): Outcome;
/** Changed something and believes it is fixed; the engine verifies. */
export function fixed(text: string): Outcome;
/** Found nothing wrong. */
export function nothingToDo(text: string): Outcome;
/** A person is needed. */
export function escalate(text: string): Outcome;

/** An effect's error: a value the runbook can catch. */
export class EffectError extends Error {
  readonly kind: "denied" | "invalid" | "not-found" | "conflict" | "timeout" | "limited" | "failed";
  /** What to do next. */
  readonly text: string;
}
/** The manifest does not request it, or the operator does not permit it. */
export class Denied extends EffectError { constructor(text?: string); }
/** The arguments make no sense, or name several things where one is expected. */
export class Invalid extends EffectError { constructor(text?: string); }
/** There is no such thing. */
export class NotFound extends EffectError { constructor(text?: string); }
/** The world is in a state that forbids it. */
export class Conflict extends EffectError { constructor(text?: string); }
/** No answer within the deadline. Whether it happened is settled by the engine, not by repeating it. */
export class Timeout extends EffectError { constructor(text?: string); }
/** A limit or a brake of the engine holds it back. */
export class Limited extends EffectError { constructor(text?: string); }
/** The other side failed. */
export class Failed extends EffectError { constructor(text?: string); }
