"""Reads requests from a service's JSON log and says which of them fail, how often and why. Changes nothing.

A line is a request when it is a JSON object with a status. Whatever else the log holds is skipped, and said.
"""

import json
import re
from collections import Counter

from sandbook import Input, Outcome, escalate, log, logs, nothing_to_do

# Pages of a thousand lines: what is older than that does not change the answer.
PAGES_MAX = 5
# Fewer requests have no share worth a person's sleep.
REQUESTS_MIN = 20
# Numbers and long hexadecimal words in a path are ids: /orders/17 and /orders/18 are one route.
ID = re.compile(r"/(\d+|[0-9a-f-]{16,})(?=/|$)")


def run(input: Input) -> Outcome:
    name, window = input.container.name, int(input.parameters["window"])
    requests, skipped = read(input, window)
    minutes = max(1, window // 60_000)
    if len(requests) < REQUESTS_MIN:
        unread = f", {skipped} lines of its log are no JSON" if skipped else ""
        return nothing_to_do(f"{name} logged {len(requests)} requests within {minutes} minutes, too few to judge{unread}")

    failed = [request for request in requests if is_failure(request)]
    share = 100 * len(failed) / len(requests)
    if share <= float(input.parameters["share"]):
        return nothing_to_do(f"{len(failed)} of {len(requests)} requests of {name} failed within {minutes} minutes ({share:.1f} %)")

    routes = Counter(route(request) for request in failed)
    reasons = Counter(reason(request) for request in failed)
    log.attach_evidence("failing requests by route", table(routes, Counter(route(request) for request in requests)))
    log.attach_evidence("reasons", table(reasons))
    (worst, times), (why, _) = routes.most_common()[0], reasons.most_common()[0]
    return escalate(
        f"{len(failed)} of {len(requests)} requests of {name} failed within {minutes} minutes ({share:.1f} %), "
        f"{times} of them {worst}; mostly: {why}"
    )


def read(input: Input, window: int) -> tuple[list[dict], int]:
    """Requests of the window, oldest first, and how many lines were none that can be read."""
    requests, skipped, cursor = [], 0, None
    for _ in range(PAGES_MAX):
        page = logs.search_container(input.container, r"\S", since_ms=window, limit=1_000, cursor=cursor)
        for match in page.found:
            request = parsed(match.line)
            if request is None:
                skipped += 1
            elif "status" in request:
                requests.append(request)
        cursor = page.cursor
        if cursor is None:
            break
    return requests, skipped


def parsed(line: str) -> dict | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def is_failure(request: dict) -> bool:
    status = request["status"]
    return isinstance(status, int) and status >= 500


def route(request: dict) -> str:
    path = str(request.get("path", "an unknown path")).split("?")[0]
    return f"{request.get('method', 'GET')} {ID.sub('/:id', path)}"


def reason(request: dict) -> str:
    return str(request.get("error") or f"status {request['status']}")[:200]


def table(counts: Counter, of: Counter | None = None) -> str:
    """The ten most frequent, each with its whole where there is one."""
    lines = (f"{count:6} {f'of {of[what]:6} ' if of else ''} {what}" for what, count in counts.most_common()[:10])
    return "\n".join(lines)
