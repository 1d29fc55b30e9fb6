"""A runbook never touches the world: it asks for an effect, and the engine answers. Whatever is asked for is recorded, so
that `sandbook show last` tells the whole story."""

from sandbook import Error, Input, Outcome, clock, docker, escalate, fixed, log, logs, nothing_to_do


def run(input: Input) -> Outcome:
    # What the alert named, found by the labels in [target].
    container = input.container

    # Look first: the alert may be minutes old.
    before = docker.inspect_container(container)
    if before.state.health != "unhealthy":
        return nothing_to_do(f"{before.name} is not unhealthy, its health is {before.state.health}")

    # A restart removes what was wrong, and with it the reason. Keep what a person will want to read.
    try:
        log.attach_evidence("last log lines", logs.tail_container(container, lines=50).text)
    except Error as error:
        print(f"no log lines: {error.text}")

    # Changes the world. Policy, brakes and the stage decide whether it may; an exception not caught ends the run with place
    # and reason. To go on instead: `except Denied as error`.
    docker.restart_container(container, grace_ms=input.parameters["grace"])

    # Waiting costs nothing and survives a restart of the daemon.
    for attempt in range(1, 16):
        clock.sleep(2_000)
        after = docker.inspect_container(container)
        if after.state.health == "healthy":
            return fixed(f"restarted {after.name}, healthy after about {attempt * 2} seconds")

    # A person is needed. The sentence is what they read first.
    return escalate(f"restarted {before.name}, but it is not healthy after 30 seconds")
