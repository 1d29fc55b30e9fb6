"""The SDK off the engine: a test's world, errors, inputs."""

import unittest

import sandbook
from sandbook import Denied, Input, docker, fixed, http, log, state
from sandbook.testing import World, play


def restart(input: Input) -> sandbook.Outcome:
    before = docker.inspect_container(input.container)
    log.attach_evidence("state", before.state.status)
    docker.restart_container(before.name, grace_ms=input.parameters["grace"])
    return fixed(f"restarted {before.name} for {input.label('alertname')}")


class Sdk(unittest.TestCase):
    def test_a_world_answers_and_remembers(self) -> None:
        world = World()
        world.answer("docker.inspect-container", docker.ContainerDetails(name="web-1"))
        world.answer("docker.restart-container", sandbook.types.Change(changed=True))
        outcome = play(world, restart, target="t:1", labels={"alertname": "X"}, parameters={"grace": 5})
        self.assertEqual(outcome, fixed("restarted web-1 for X"))
        self.assertEqual(world.effects(), ["docker.inspect-container", "docker.restart-container"])
        self.assertEqual(world.calls[2].arguments["options"], docker.StopOptions(grace_ms=5))
        self.assertEqual(world.notes(), ["created"])

    def test_errors_are_typed_and_unanswered_effects_fail(self) -> None:
        world = World().answer("docker.inspect-container", Denied("no"))
        with self.assertRaises(Denied) as caught:
            play(world, restart, target="t:1")
        self.assertEqual((caught.exception.kind, caught.exception.text), ("denied", "no"))
        with self.assertRaisesRegex(AssertionError, "world.answer"):
            play(World(), lambda input: http.get("http://x"))
        with self.assertRaises(sandbook.Invalid):
            play(World(), restart)

    def test_memory_and_time_need_no_answers(self) -> None:
        def run(input: Input) -> sandbook.Outcome:
            before = sandbook.clock.now()
            sandbook.clock.sleep(2_000)
            assert state.compare_and_put("k", None, "v") and state.get("k") == "v"
            return sandbook.done(str(sandbook.clock.now() - before))

        self.assertEqual(play(World(), run).text, "2000")

    def test_without_a_world_it_says_how(self) -> None:
        with self.assertRaisesRegex(RuntimeError, "sandbook.testing.World"):
            docker.list_containers()

    def test_words_are_texts(self) -> None:
        self.assertEqual(sandbook.types.HealthStatus("healthy"), "healthy")
        self.assertEqual(f"{sandbook.types.HealthStatus.HEALTHY}", "healthy")


if __name__ == "__main__":
    unittest.main()
