// The SDK off the engine: a test's world, errors, inputs.

import assert from "node:assert/strict";
import { test } from "node:test";

import { clock, Denied, docker, done, fixed, http, log, state } from "../index.js";
import { play, World } from "../testing.js";
import { runs, install } from "../guest.js";

const restart = (input) => {
  const before = docker.inspectContainer(input.target);
  log.attachEvidence("state", before.state.status);
  docker.restartContainer(before.name, { graceMs: input.parameters.grace });
  return fixed(`restarted ${before.name} for ${input.alert?.labels.alertname}`);
};

test("a world answers and remembers", () => {
  const world = new World()
    .answer("docker.inspect-container", { name: "web-1", state: { status: "running" } })
    .answer("docker.restart-container", { changed: true });
  const outcome = play(world, restart, { target: "t:1", labels: { alertname: "X" }, parameters: { grace: 5 } });
  assert.equal(outcome.text, "restarted web-1 for X");
  assert.deepEqual(world.effects(), ["docker.inspect-container", "docker.restart-container"]);
  assert.deepEqual(world.calls[2].arguments.options, { graceMs: 5 });
  assert.deepEqual(world.notes(), ["running"]);
});

test("errors are typed, and effects without an answer fail", () => {
  const world = new World().answer("docker.inspect-container", new Denied("no"));
  assert.throws(() => play(world, restart, { target: "t" }), (error) => error instanceof Denied && error.kind === "denied");
  assert.throws(() => play(new World(), () => http.get("http://x")), /world\.answer/);
  assert.throws(() => docker.listContainers({}), /sandbook\/testing/);
});

test("memory and time need no answers", () => {
  const outcome = play(new World(), () => {
    const before = clock.now();
    clock.sleep(2_000);
    assert.ok(state.compareAndPut("k", undefined, "v") && state.get("k") === "v");
    return done(clock.now() - before);
  });
  assert.equal(outcome.text, "2000");
});

test("values cross as the bindings have them", () => {
  const seen = [];
  install({
    "docker.restart-container": (...given) => (seen.push(given), { changed: true, state: {} }),
    "clock.now": () => 5n,
    "docker.stop-container": () => { throw { payload: { tag: "denied", val: "no" } }; },
  });
  const given = { parameters: [["grace", { tag: "duration", val: 5n }]], target: { handle: "t:1" } };
  const run = runs((input) => {
    docker.restartContainer(input.target, { graceMs: input.parameters.grace });
    return done(clock.now() + 1);
  });
  assert.deepEqual(run(given), { tag: "done", val: "6" });
  assert.deepEqual(seen, [["t:1", { graceMs: 5n }]]);
  const payload = (entry) => {
    try {
      return runs(entry)(given);
    } catch (error) {
      return error.payload;
    }
  };
  assert.deepEqual(payload(() => docker.stopContainer("x")), { tag: "denied", val: "no" });
  assert.match(payload(() => docker.killContainer("x")).val, /does not request docker\.kill-container/);
  assert.equal(payload(() => docker.restartContainer("x", { grace: 1 })).tag, "invalid");
  assert.match(payload(async () => done("x")).val, /async/);
  assert.match(payload(() => { throw new TypeError("boom"); }).val, /TypeError: boom \(sdk\.test\.js, line \d+\)/);
  install(undefined);
});
