// @ts-check
// A runbook never touches the world: it asks for an effect, and the engine answers. Whatever is asked for is recorded, so
// that `sandbook show last` tells the whole story.

import { clock, docker, escalate, fixed, log, logs, nothingToDo } from "sandbook";

/** @param {import("sandbook").Input} input */
export function run(input) {
  // What the alert named, found by the labels in [target].
  const container = input.target ?? "";

  // Look first: the alert may be minutes old.
  const before = docker.inspectContainer(container);
  if (before.state.health !== "unhealthy") {
    return nothingToDo(`${before.name} is not unhealthy, its health is ${before.state.health}`);
  }

  // A restart removes what was wrong, and with it the reason. Keep what a person will want to read.
  try {
    log.attachEvidence("last log lines", logs.tailContainer(container, { lines: 50 }).text);
  } catch (error) {
    console.log(`no log lines: ${error}`);
  }

  // Changes the world. Policy, brakes and the stage decide whether it may; an error not caught ends the run with place and
  // reason. To go on instead: `catch (error) { if (error instanceof Denied) … }`.
  docker.restartContainer(container, { graceMs: Number(input.parameters.grace) });

  // Waiting costs nothing and survives a restart of the daemon.
  for (let attempt = 1; attempt <= 15; attempt += 1) {
    clock.sleep(2_000);
    const after = docker.inspectContainer(container);
    if (after.state.health === "healthy") {
      return fixed(`restarted ${after.name}, healthy after about ${attempt * 2} seconds`);
    }
  }

  // A person is needed. The sentence is what they read first.
  return escalate(`restarted ${before.name}, but it is not healthy after 30 seconds`);
}
