#!/usr/bin/env python3
"""Dashboards as code: writes dashboards/*.json, or with --check says which file is not what this program makes.

A panel is one line: title, kind, unit, queries, and what the figure means (shown behind the little i). Every metric named
here must exist; a test holds that. Edit here, never in Grafana.
"""

import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"


def steps(*pairs):
    """Colours from a value on; the first has no value."""
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for value, color in pairs]}


GOOD_ABOVE = steps((None, RED), (0.9, YELLOW), (0.99, GREEN))
BAD_ABOVE_ZERO = steps((None, GREEN), (1, RED))
UP = steps((None, RED), (1, GREEN))
PLAIN = steps((None, BLUE))


def panel(title, kind, unit, queries, means, thresholds=None, width=6, height=6):
    """One panel; queries are pairs of expression and legend."""
    targets = [
        {"refId": chr(65 + index), "datasource": SOURCE, "expr": expr, "legendFormat": legend,
         "instant": kind in ("stat", "table", "bargauge"), "format": "table" if kind == "table" else "time_series"}
        for index, (expr, legend) in enumerate(queries)
    ]
    options = {
        "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "stat": {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}},
        "bargauge": {"orientation": "horizontal", "displayMode": "basic", "reduceOptions": {"calcs": ["lastNotNull"]}},
        "table": {"showHeader": True},
        "state-timeline": {"showValue": "never", "legend": {"displayMode": "list", "placement": "bottom"}},
    }[kind]
    return {
        "title": title, "type": kind, "description": means, "datasource": SOURCE, "targets": targets, "options": options,
        "fieldConfig": {"defaults": {"unit": unit, "thresholds": thresholds or PLAIN}, "overrides": []},
        "gridPos": {"w": width, "h": height},
    }


def place(panels):
    """From left to right, then down: a row is as high as its highest panel."""
    x = y = row = 0
    for number, one in enumerate(panels, start=1):
        grid = one["gridPos"]
        if x + grid["w"] > 24:
            x, y, row = 0, y + row, 0
        grid["x"], grid["y"], one["id"] = x, y, number
        x, row = x + grid["w"], max(row, grid["h"])
    return panels


HOSTS = {"name": "host", "label": "Docker host", "type": "query", "datasource": SOURCE, "multi": True, "includeAll": True,
         "allValue": ".*", "current": {"text": "All", "value": "$__all"}, "refresh": 2,
         "query": {"query": "label_values(sandbook_docker_up, host)", "refId": "host"}}
RUNBOOKS = {"name": "runbook", "label": "Runbook", "type": "query", "datasource": SOURCE, "multi": True, "includeAll": True,
            "allValue": ".*", "current": {"text": "All", "value": "$__all"}, "refresh": 2,
            "query": {"query": "label_values(sandbook_runs_total, runbook)", "refId": "runbook"}}
ACTS = {"name": "What Sandbook did", "enable": True, "iconColor": "orange", "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "target": {"type": "tags", "tags": ["sandbook"], "matchAny": False, "limit": 100}}


def dashboard(uid, title, about, panels, variables=(), refresh="30s", span="now-6h"):
    """A whole dashboard in Grafana's form."""
    return {
        "uid": uid, "title": title, "description": about, "tags": ["sandbook"], "timezone": "browser", "editable": False,
        "refresh": refresh, "schemaVersion": 39, "time": {"from": span, "to": "now"},
        "annotations": {"list": [ACTS]}, "templating": {"list": list(variables)}, "panels": place(panels),
    }


def operations():
    on = '{host=~"$host"}'
    return dashboard("sandbook-operations", "Sandbook: operations", "What is on fire on the Docker hosts, and what is being done about it.", [
        panel("Running containers", "stat", "none", [(f"sum(sandbook_container_running{on})", "")], "Containers that run now.", width=4, height=4),
        panel("Unhealthy", "stat", "none", [(f'sum(sandbook_container_health{{host=~"$host", status="unhealthy"}}) or vector(0)', "")],
              "Containers whose health check fails.", BAD_ABOVE_ZERO, 4, 4),
        panel("Ended unasked", "stat", "none", [(f"sum(sandbook_container_exited_unexpectedly{on} == 1 and on (host, name) sandbook_container_running{on} == 0) or vector(0)", "")],
              "Containers that ended without anybody asking and do not run.", BAD_ABOVE_ZERO, 4, 4),
        panel("Runs at work", "stat", "none", [("sum(sandbook_runs_active)", "")], "Guests executing now; waiting runs are not counted.", width=4, height=4),
        panel("Runs waiting to start", "stat", "none", [("sum(sandbook_queue_length)", "")], "Accepted and not started.", steps((None, GREEN), (10, YELLOW), (100, RED)), 4, 4),
        panel("Brakes tripped", "stat", "none", [("sum(sandbook_brakes_tripped)", "")], "Limits that wait for a person: `sandbook brakes`.", BAD_ABOVE_ZERO, 4, 4),
        panel("Alerts by what became of them", "timeseries", "none", [("sum by (result) (increase(sandbook_alerts_received_total[5m]))", "{{result}}")],
              "New, duplicate, resolved, suppressed, rejected.", width=12, height=8),
        panel("Runs by outcome", "timeseries", "none", [('sum by (outcome) (increase(sandbook_runs_total{mode="live"}[5m]))', "{{outcome}}")],
              "Live runs that ended.", width=12, height=8),
        panel("Effects that changed something or failed", "timeseries", "none", [("sum by (effect, result) (increase(sandbook_effects_total[5m])) > 0", "{{effect}} {{result}}")],
              "By effect and result.", width=12, height=8),
        panel("Did it help?", "timeseries", "none", [("sum by (result) (increase(sandbook_verifications_total[1h]))", "{{result}}")],
              "Verified runs of the last hour: confirmed, contradicted, unknown.", width=12, height=8),
        panel("Mean time to recovery", "stat", "s", [("max(sandbook_mttr_seconds)", "")], "First message to resolution over 7 days, where a run acted. Aim: under 5 minutes.",
              steps((None, GREEN), (120, YELLOW), (300, RED)), 6, 5),
        panel("First effect, 95 %", "stat", "s", [("sandbook:time_to_first_effect_seconds:p95_1d", "")], "From the request to the first change, over a day. Aim: under 30 s.",
              steps((None, GREEN), (5, YELLOW), (30, RED)), 6, 5),
        panel("OOM kills today", "stat", "none", [(f"sum(increase(sandbook_container_oom_kills_total{on}[1d]))", "")], "Kills for memory.", BAD_ABOVE_ZERO, 6, 5),
        panel("Silences", "stat", "none", [("max(sandbook_silences)", "")], "Active and pending in Alertmanager; they hold runs back.", width=6, height=5),
        panel("Containers by state", "state-timeline", "none", [(f"sandbook:target_up:min{on}", "{{name}}")], "Up: runs and is not unhealthy.", UP, 24, 10),
        panel("Restarts by Docker itself", "timeseries", "none", [(f"sum by (name) (increase(sandbook_container_restarts_total{on}[10m])) > 0", "{{name}}")],
              "By restart policy; more than three in ten minutes is a crash loop.", width=12, height=8),
        panel("Last exit codes", "table", "none", [(f"max by (host, name) (sandbook_container_last_exit_code{on}) != 0", "")],
              "137: killed, 139: segmentation fault, 126 and 127: nothing to execute.", width=12, height=8),
        panel("Docker engines", "state-timeline", "none", [("sandbook_docker_up", "{{host}}")], "Whether each engine's events are followed.", UP, 12, 6),
        panel("Alertmanager's way", "state-timeline", "none", [("sandbook_watchdog_up", "watchdog"), ("min by (what) (sandbook_alertmanager_up)", "{{what}}")],
              "Whether alerts arrive and Alertmanager answers.", UP, 12, 6),
    ], [HOSTS])


def success():
    of = 'runbook=~"$runbook"'
    return dashboard("sandbook-success", "Sandbook: success and service levels", "Whether the runbooks help, and what the targets' users saw.", [
        panel("Success over 7 days", "bargauge", "percentunit", [(f"sandbook:runbook_verified:ratio7d{{{of}}}", "{{runbook}}")],
              "Confirmed of all that were confirmed or contradicted.", GOOD_ABOVE, 12, 8),
        panel("False positives over 7 days", "bargauge", "percentunit", [(f"sandbook:runbook_false_positives:ratio7d{{{of}}}", "{{runbook}}")],
              "Changed something that was well just before. Aim: under 5 %.", steps((None, GREEN), (0.02, YELLOW), (0.05, RED)), 12, 8),
        panel("Uptime per target, 30 days", "table", "percentunit", [("sort(sandbook:target_up:ratio30d)", "")], "Share of time up. Aim: above 99 %.", GOOD_ABOVE, 12, 10),
        panel("Mean time between failures", "table", "s", [("sort(30 * 86400 * sandbook:target_up:ratio30d / (sandbook:target_failures:count30d > 0))", "")],
              "Time up in 30 days by the number of failures; targets that never failed are not listed.", width=12, height=10),
        panel("Mean time to recovery", "timeseries", "s", [("max(sandbook_mttr_seconds)", "MTTR")], "Over the last 7 days at each moment.", width=12, height=7),
        panel("Time to first effect", "timeseries", "s", [
            ("histogram_quantile(0.5, sum by (le) (rate(sandbook_time_to_first_effect_seconds_bucket[1h])))", "median"),
            ("histogram_quantile(0.95, sum by (le) (rate(sandbook_time_to_first_effect_seconds_bucket[1h])))", "95 %")],
              "From the request to the first change.", width=12, height=7),
        panel("Verifications", "timeseries", "none", [(f"sum by (runbook, result) (increase(sandbook_verifications_total{{{of}}}[1d]))", "{{runbook}} {{result}}")],
              "Per day.", width=12, height=8),
        panel("Demotions", "timeseries", "none", [(f"sum by (runbook) (increase(sandbook_demotions_total{{{of}}}[1d]))", "{{runbook}}")],
              "Versions put back to shadow because acting did not help.", width=12, height=8),
        panel("How long runs take", "timeseries", "s", [(f"histogram_quantile(0.95, sum by (le, runbook) (rate(sandbook_run_duration_seconds_bucket{{{of}}}[1h])))", "{{runbook}}")],
              "95 %, waits included.", width=12, height=8),
        panel("Shadow: would have run", "timeseries", "none", [(f'sum by (runbook, outcome) (increase(sandbook_runs_total{{mode="shadow", {of}}}[1d]))', "{{runbook}} {{outcome}}")],
              "What shadow runs came to. Compare before promoting.", width=12, height=8),
    ], [RUNBOOKS], refresh="5m", span="now-7d")


def engine():
    return dashboard("sandbook-engine", "Sandbook: the engine itself", "Whether the thing that heals is well.", [
        panel("Heartbeat age", "stat", "s", [("time() - max(sandbook_heartbeat_timestamp_seconds)", "")], "Written by the loop that starts runs.", steps((None, GREEN), (30, YELLOW), (60, RED)), 4, 5),
        panel("Store", "stat", "none", [("min(sandbook_store_up)", "")], "1 while it can write.", UP, 4, 5),
        panel("Messages refused", "stat", "none", [("sum(increase(sandbook_webhook_refused_total[1d])) or vector(0)", "")], "Webhook messages of a day that were not taken.", BAD_ABOVE_ZERO, 4, 5),
        panel("Alerts that were missed", "stat", "none", [("sum(increase(sandbook_missed_alerts_total[1d]))", "")], "Never heard until fetched from Alertmanager.", BAD_ABOVE_ZERO, 4, 5),
        panel("Reloads that failed", "stat", "none", [("sum(increase(sandbook_reload_failures_total[1d])) or vector(0)", "")], "Policies and packages that kept their old version.", BAD_ABOVE_ZERO, 4, 5),
        panel("Containers not shown", "stat", "none", [("sum(sandbook_containers_dropped)", "")], "Beyond the limit of a host.", BAD_ABOVE_ZERO, 4, 5),
        panel("Queue", "timeseries", "none", [("sum(sandbook_queue_length)", "waiting"), ("sum(sandbook_queue_capacity)", "capacity")],
              "At capacity new firing alerts are answered 503, and Alertmanager sends them again.", width=12, height=8),
        panel("Time of drivers, 95 %", "timeseries", "s", [("histogram_quantile(0.95, sum by (le, effect) (rate(sandbook_effect_duration_seconds_bucket[5m])))", "{{effect}}")],
              "How long the world takes to answer.", width=12, height=8),
        panel("Effects that failed", "timeseries", "none", [('sum by (effect, result) (increase(sandbook_effects_total{result!="ok"}[5m])) > 0', "{{effect}} {{result}}")],
              "Refusals of Docker and deadlines.", width=12, height=8),
        panel("Engines that do not answer", "timeseries", "none", [("sandbook_docker_breaker_open", "{{host}}")], "1 while calls to a host fail at once.", width=12, height=8),
        panel("Notifications", "timeseries", "none", [("sum by (event, result) (increase(sandbook_notifications_total[1h])) > 0", "{{event}} {{result}}")], "Messages to people.", width=12, height=8),
        panel("Brakes", "timeseries", "none", [("sum by (scope) (increase(sandbook_brake_trips_total[1h])) > 0", "{{scope}}")], "Trips by what they protect.", width=12, height=8),
        panel("Version", "table", "none", [("sandbook_build_info", "")], "What runs where.", width=12, height=5),
        panel("Alertmanager asked in vain", "timeseries", "none", [("sum by (what) (increase(sandbook_alertmanager_failures_total[5m]))", "{{what}}")], "Fetches of alerts and silences that failed.", width=12, height=5),
    ])


def model():
    return dashboard("sandbook-model", "Sandbook: what the model costs", "Requests, tokens, money and how often its answer was of no use.", [
        panel("Cost today", "stat", "none", [("sum(increase(sandbook_llm_cost_total[1d])) or vector(0)", "")], "In the currency of [llm.prices].", width=6, height=5),
        panel("Requests today", "stat", "none", [("sum(increase(sandbook_llm_requests_total[1d])) or vector(0)", "")], "Repeated ones included.", width=6, height=5),
        panel("Tokens today", "stat", "short", [("sum(increase(sandbook_llm_tokens_total[1d])) or vector(0)", "")], "As the server counted them.", width=6, height=5),
        panel("Fallbacks today", "stat", "none", [("sum(increase(sandbook_llm_fallbacks_total[1d])) or vector(0)", "")], "Declared fallbacks taken instead of an answer.", steps((None, GREEN), (1, YELLOW)), 6, 5),
        panel("Cost by purpose", "timeseries", "none", [("sum by (purpose) (increase(sandbook_llm_cost_total[1h]))", "{{purpose}}")], "Per hour.", width=12, height=8),
        panel("Tokens", "timeseries", "short", [("sum by (purpose, direction) (increase(sandbook_llm_tokens_total[1h]))", "{{purpose}} {{direction}}")], "Per hour, in and out.", width=12, height=8),
        panel("Time until an answer, 95 %", "timeseries", "s", [("histogram_quantile(0.95, sum by (le, purpose) (rate(sandbook_llm_answer_duration_seconds_bucket[1h])))", "{{purpose}}")], "Repeated requests and repair included.", width=12, height=8),
        panel("Why there was no answer", "timeseries", "none", [("sum by (purpose, reason) (increase(sandbook_llm_fallbacks_total[1h])) > 0", "{{purpose}} {{reason}}")], "Fallbacks by reason.", width=12, height=8),
    ], refresh="5m", span="now-7d")


DASHBOARDS = {"operations": operations, "success": success, "engine": engine, "model": model}


def main():
    wrong = []
    for name, make in DASHBOARDS.items():
        path = FOLDER / f"{name}.json"
        text = json.dumps(make(), indent=1, ensure_ascii=False) + "\n"
        if "--check" not in sys.argv:
            FOLDER.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(path)
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            wrong.append(path.name)
    stray = [path.name for path in FOLDER.glob("*.json") if path.stem not in DASHBOARDS]
    if wrong or stray:
        sys.exit(f"not what dashboards.py makes: {', '.join(wrong + stray)}; run monitoring/grafana/dashboards.py")


if __name__ == "__main__":
    main()
