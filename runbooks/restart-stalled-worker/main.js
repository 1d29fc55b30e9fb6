// @ts-check
// A worker that hangs runs, passes its health check and works no more. Its own log tells: a line of JSON for each job that it
// finishes and for what is waiting, `{"event": "finished", …}` and `{"event": "waiting", "jobs": 12}`.

import { clock, docker, escalate, fixed, log, logs, nothingToDo } from "sandbook";

// Jobs are looked for that far back: a worker that never finished one since is not known to be able to.
const DAY_MS = 24 * 60 * 60 * 1000;
// Between two looks after the restart.
const PAUSE_MS = 2_000;

/** @param {import("sandbook").Input} input */
export function run(input) {
  const container = input.target ?? "";
  const stalledMs = Number(input.parameters.stalled);
  const { name, state } = docker.inspectContainer(container);
  if (state.status !== "running") return nothingToDo(`${name} is ${state.status}, not running: it has not stalled`);

  const recent = told(container, stalledMs);
  const finished = recent.filter((line) => line.event === "finished").length;
  if (finished > 0) return nothingToDo(`${name} finished ${finished} jobs within ${span(stalledMs)}: it is slow, not stalled`);

  const waiting = recent.filter((line) => line.event === "waiting").at(-1)?.jobs;
  if (waiting === undefined) return escalate(`${name} has not said for ${span(stalledMs)} how many jobs are waiting: look whether it should`);
  if (!(waiting > 0)) return nothingToDo(`nothing waits for ${name}`);

  const before = told(container, DAY_MS);
  log.attachEvidence("last lines", before.slice(-50).map((line) => line.text).join("\n"));
  if (!before.some((line) => line.event === "finished")) {
    return escalate(`${waiting} jobs wait for ${name}, and it finished none within a day: a restart would not help`);
  }

  const restarted = clock.now();
  docker.restartContainer(container);
  const patienceMs = Number(input.parameters.patience);
  for (let waited = PAUSE_MS; waited <= patienceMs; waited += PAUSE_MS) {
    clock.sleep(PAUSE_MS);
    const { status, exitCode } = docker.inspectContainer(container).state;
    if (status !== "running") return escalate(`restarted ${name} with ${waiting} jobs waiting, but now it is ${status}, exit code ${exitCode}`);
    // Only what it finished since; the log still has what was before.
    if (told(container, clock.now() - restarted).some((line) => line.event === "finished")) {
      return fixed(`restarted ${name} with ${waiting} jobs waiting; it works again`);
    }
  }
  return escalate(`restarted ${name}, but it finished none of ${waiting} jobs within ${span(patienceMs)}`);
}

/**
 * What the worker told, oldest first. Whatever else is in the log is no telling.
 * @param {import("sandbook").Container} container
 * @param {number} sinceMs
 */
function told(container, sinceMs) {
  const { found } = logs.searchContainer(container, '"event"', { sinceMs: Math.max(1, sinceMs), limit: 1_000 });
  return found.flatMap(({ line }) => {
    try {
      const { event, jobs } = JSON.parse(line);
      return [{ event, jobs, text: line }];
    } catch {
      return [];
    }
  });
}

/** @param {number} ms */
function span(ms) {
  return ms < 120_000 ? `${ms / 1_000} seconds` : `${ms / 60_000} minutes`;
}
