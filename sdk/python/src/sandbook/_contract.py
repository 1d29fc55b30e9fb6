"""Names of the interfaces. Generated from sdk/wit by `sandbook-pack generate`; a test compares."""

PACKAGE = "sandbook:runbook@1.0.0"
INTERFACES = ("docker", "logs", "metrics", "net", "http", "notify", "state", "clock", "random", "log", "human", "alertmanager", "llm", "incidents",)
