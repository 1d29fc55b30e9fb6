// A world for unit tests: says what effects answer, and remembers what was asked. Needs neither the engine nor a build.

import { enter } from "./bridge.js";

export class World {
  constructor() {
    this.calls = [];
    this.nowMs = 1_700_000_000_000;
    this.memory = new Map();
    this.answers = new Map();
  }

  /** What an effect answers, call by call; the last one is repeated. An Error is thrown; a function is called with the arguments. */
  answer(effect, ...answers) {
    this.answers.set(effect, [...(this.answers.get(effect) ?? []), ...answers]);
    return this;
  }

  /** Names of what was asked for, without notes. */
  effects() {
    return this.calls.map((call) => call.effect).filter((name) => !name.startsWith("log."));
  }

  /** What was logged or kept as evidence, as text. */
  notes() {
    const notes = this.calls.filter((call) => call.effect.startsWith("log."));
    return notes.map((call) => call.arguments.text ?? call.arguments.message);
  }

  /** Called for every effect. */
  perform(effect, given) {
    this.calls.push({ effect, arguments: given });
    const answers = this.answers.get(effect);
    if (!answers?.length) return this.usual(effect, given);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer instanceof Error) throw answer;
    return typeof answer === "function" ? answer(given) : answer;
  }

  usual(effect, given) {
    switch (effect) {
      case "log.log":
      case "log.progress":
      case "log.attach-evidence":
        return undefined;
      case "clock.now":
        return this.nowMs;
      case "clock.sleep":
        this.nowMs += given.durationMs;
        return undefined;
      case "random.random-u64":
        return 4n;
      case "state.get":
        return this.memory.get(given.key);
      case "state.put":
        this.memory.set(given.key, given.value);
        return undefined;
      case "state.compare-and-put": {
        const same = this.memory.get(given.key) === (given.expected ?? undefined);
        if (same) this.memory.set(given.key, given.value);
        return same;
      }
      default:
        throw new Error(`the runbook asked for ${effect} ${JSON.stringify(given)}; world.answer("${effect}", …) says what it gets`);
    }
  }
}

/** Runs a runbook's function in that world. */
export function play(world, run, { target, labels, parameters = {} } = {}) {
  const alert = labels && { name: labels.alertname ?? "", labels, annotations: {}, startsAt: "", fingerprint: "" };
  const about = target && { handle: target, host: "local", kind: "container", name: target };
  const before = enter(world);
  try {
    return run({ alert, target: about, parameters });
  } finally {
    enter(before);
  }
}
