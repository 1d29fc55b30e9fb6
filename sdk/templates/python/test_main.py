"""The runbook off the engine. What it does as a whole: `sandbook test .`

PYTHONPATH=.sandbook/sdk/python/src python3 -m unittest
"""

import unittest

from sandbook import docker, fixed, logs, types
from sandbook.testing import World, play

import main


def container(health: str) -> docker.ContainerDetails:
    state = types.ContainerState(health=types.HealthStatus(health))
    return docker.ContainerDetails(name="web-1", state=state)


class Runbook(unittest.TestCase):
    def test_a_sick_container_is_restarted_once(self) -> None:
        world = World()
        world.answer("docker.inspect-container", container("unhealthy"), container("healthy"))
        world.answer("logs.tail-container", logs.Page(text="GET / 500"))
        world.answer("docker.restart-container", types.Change(changed=True))
        outcome = play(world, main.run, target="web-1", parameters={"grace": 10_000})
        self.assertEqual(outcome, fixed("restarted web-1, healthy after about 2 seconds"))
        self.assertEqual(world.effects().count("docker.restart-container"), 1)

    def test_a_healthy_container_is_left_alone(self) -> None:
        world = World().answer("docker.inspect-container", container("healthy"))
        self.assertEqual(play(world, main.run, target="web-1").kind, "nothing-to-do")
        self.assertEqual(world.effects(), ["docker.inspect-container"])


if __name__ == "__main__":
    unittest.main()
