// A world for unit tests.

import type { Input, Outcome, Value } from "./index.js";

/** Answers effects. Notes, waits and the runbook's memory need no answer; anything else without one fails the test. */
export class World {
  calls: Array<{ effect: string; arguments: Record<string, unknown> }>;
  nowMs: number;
  memory: Map<string, string>;
  /** What an effect answers, call by call; the last one is repeated. An Error is thrown; a function is called with the arguments. */
  answer(effect: string, ...answers: unknown[]): this;
  /** Names of what was asked for, without notes. */
  effects(): string[];
  /** What was logged or kept as evidence, as text. */
  notes(): string[];
}

/** Runs a runbook's function in that world. */
export function play(
  world: World,
  run: (input: Input) => Outcome,
  about?: { target?: string; labels?: Record<string, string>; parameters?: Record<string, Value> },
): Outcome;
