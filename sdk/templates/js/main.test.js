// The runbook off the engine: `npm install && npm test`. What it does as a whole: `sandbook test .`

import assert from "node:assert/strict";
import { test } from "node:test";
import { play, World } from "sandbook/testing";

import { run } from "./main.js";

const container = (health) => ({ name: "web-1", state: { health } });

test("a sick container is restarted once", () => {
  const world = new World()
    .answer("docker.inspect-container", container("unhealthy"), container("healthy"))
    .answer("logs.tail-container", { text: "GET / 500" })
    .answer("docker.restart-container", { changed: true });
  const outcome = play(world, run, { target: "web-1", parameters: { grace: 10_000 } });
  assert.equal(outcome.text, "restarted web-1, healthy after about 2 seconds");
  assert.equal(world.effects().filter((effect) => effect === "docker.restart-container").length, 1);
});

test("a healthy container is left alone", () => {
  const world = new World().answer("docker.inspect-container", container("healthy"));
  assert.equal(play(world, run, { target: "web-1" }).kind, "nothing-to-do");
  assert.deepEqual(world.effects(), ["docker.inspect-container"]);
});
