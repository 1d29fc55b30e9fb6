//! The configuration as people write it: what is sound, and every mistake at its place.

use sandbook_core::duration::{Bytes, DurationMs};
use sandbook_core::manifest;

use super::*;

/// `file:line:column ~code message (help)`, with `~` before the code of a warning.
fn lines(problems: &[Problem]) -> Vec<String> {
    let line = |p: &Problem| {
        let (mark, help) = (
            if p.warning { "~" } else { "" },
            if p.help.is_empty() { String::new() } else { format!(" ({})", p.help) },
        );
        format!("{}:{}:{} {mark}{} {}{help}", p.file, p.line, p.column, p.code, p.message)
    };
    problems.iter().map(line).collect()
}

fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, Vec<Problem>> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::from_text(text, Some(Path::new("/etc/sb/c.toml")), env)
}

/// What differs, so that one run of the test shows all of it.
fn check(text: &str, want: &[&str]) -> Option<String> {
    let problems = match load(text, &[]) {
        Ok(config) => config.warnings,
        Err(problems) => problems,
    };
    let want: Vec<String> = want.iter().map(|line| format!("/etc/sb/c.toml:{line}")).collect();
    let found = lines(&problems);
    (found != want).then(|| format!("{text}\n  found {found:#?}\n  want {want:#?}"))
}

const CONTRACT: &str = r#"
listen = "127.0.0.1:7070"            # [tls] cert_file, key_file, client_ca_file for TLS and mTLS
data_dir = "./sandbook-data"

[store]
url = "sqlite"                       # or postgres://…

[docker.hosts.local]
endpoint = "unix:///var/run/docker.sock"    # tcp://host:2376 with tls, ssh://user@host
match = ['instance=~"web1:.*"']      # which alerts belong to this host; needed only with several

[[routes]]                           # the operator's own wiring; wins over a manifest's triggers
match = ['alertname="ShopDown"']
runbook = "restart-unhealthy"
target_from = ["service"]
parameters = { grace = "30s" }

[runbooks]
dirs = ["./runbooks"]                # watched; each sub-folder is a package
[runbooks.stages]
restart-unhealthy = "live"           # for packages from `dirs`: review in git is the promotion; each new digest is audited
collect-evidence = "live@sha256:0123456789abcdef"   # built-in and uploaded ones are pinned

[policy]
dirs = ["./policy"]                  # *.cedar, validated against the generated schema
label_grants = false                 # true: a container labelled sandbook.allow=restart permits it

[brakes]                             # ceilings; the tightest of engine, policy and manifest wins
per_runbook_target = ["3/1h", "7/1d"]
per_host = ["10/10m"]
storm = { min = 3, share = 0.25, window = "10m" }

[auth]
mode = "token"                       # "off" must be written out, and only on loopback
[auth.tokens.alertmanager]
role = "sender"                      # sender, viewer, author, operator, admin
token_file = "./secrets/alertmanager"
[auth.tokens.dana]
role = "operator"
person = "dana"
token_file = "/run/secrets/dana"

[notify]
self = "ops"                         # where alerts about Sandbook itself go
[notify.channels.ops]
kind = "slack"                       # slack, pagerduty, webhook (templated body)
url_file = "./secrets/slack-url"
[[notify.routes]]
on = ["acted", "refused", "contradicted", "approval", "tripped", "needs-attention"]
channel = "ops"

[egress]
hosts = ["web-*:8080", "status.example.org"]   # what http and net effects may reach

[llm]
base_url = "http://127.0.0.1:11434/v1"
model = "m"
api_key_file = "./secrets/llm"
"#;

#[test]
fn the_contracts_example_is_sound_and_survives_printing() {
    let config = load(CONTRACT, &[]).expect("sound");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.data_dir, Path::new("/etc/sb/sandbook-data"));
    assert_eq!(config.auth.tokens["alertmanager"].token_file, Path::new("/etc/sb/secrets/alertmanager"));
    assert_eq!(config.auth.tokens["dana"].token_file, Path::new("/run/secrets/dana"));
    assert_eq!(config.notify.escalation_channel(), Some("ops"));
    assert_eq!(config.routes[0].parameters["grace"], "30s");
    assert!(config.runbooks.stages["collect-evidence"].pins(&format!("sha256:0123456789abcdef{}", "0".repeat(48))));
    assert!(!config.runbooks.stages["restart-unhealthy"].pins("sha256:00"));
    let printed = config.to_toml();
    let again = load(&printed, &[]).unwrap_or_else(|problems| panic!("{:?}\n{printed}", lines(&problems)));
    assert_eq!(again.sections, config.sections);
}

#[test]
fn without_a_file_the_defaults_are_the_contracts() {
    let config = Config::load(None, std::iter::empty()).expect("sound");
    assert_eq!(config, Config::default());
    assert_eq!(
        (config.listen.to_string().as_str(), config.data_dir.as_path()),
        ("127.0.0.1:7070", Path::new("sandbook-data"))
    );
    assert_eq!(config.docker.hosts[LOCAL_HOST].endpoint, LOCAL_ENDPOINT);
    assert_eq!((config.auth.mode, config.policy.label_grants), (AuthMode::Token, false));
    assert_eq!(config.brakes.per_runbook_target.iter().map(ToString::to_string).collect::<Vec<_>>(), ["3/1h", "7/1d"]);
    assert_eq!((config.brakes.storm.min, config.brakes.storm.share), (3, 0.25));
    assert_eq!(load("", &[]).expect("sound").data_dir, Path::new("/etc/sb/sandbook-data"));
}

/// What is written, and every problem as it is told: line, column, code, sentence.
const MISTAKES: &[(&str, &str)] = &[
    ("listn = \"127.0.0.1:1\"", "1:1 SB0403 unknown key `listn` (did you mean `listen`?)"),
    (
        "x = 1\n[brakes]\nper_hsot = []",
        "1:1 SB0403 unknown key `x` (known here: listen, public_url, data_dir, tls, server, store, docker, prometheus, alertmanager, loki, routes, runbooks, trust, policy, brakes, auth, approvals, notify, grafana, egress, llm, drafts, limits, workers, retention, otel, log)\n3:1 SB0403 unknown key `brakes.per_hsot` (did you mean `per_host`?)",
    ),
    (
        "listen = \"7070\"",
        "1:10 SB0404 `listen` is \"7070\", it must be an address with a port in quotes, like \"127.0.0.1:7070\" or \"[::1]:7070\"",
    ),
    (
        "listen = 7070",
        "1:10 SB0404 `listen` is 7070, it must be an address with a port in quotes, like \"127.0.0.1:7070\" or \"[::1]:7070\"",
    ),
    ("store = 3", "1:9 SB0404 `store` is 3, it must be a table: [store]"),
    (
        "[brakes]\nper_host = [\"3/1h\", \"4\"]",
        "2:21 SB0404 `brakes.per_host[1]`: \"4\" is not a rate: it has no `/`; write it like 3/1h or 7/1d",
    ),
    (
        "[brakes]\nsettle = 5",
        "2:10 SB0404 `brakes.settle` is 5, it must be a duration in quotes, like \"90s\" or \"1h30m\"",
    ),
    (
        "[brakes]\nper_host = \"3/1h\"",
        "2:12 SB0404 `brakes.per_host` is \"3/1h\", it must be a list in [ ], each a rate in quotes, like \"3/1h\"",
    ),
    ("[brakes.storm]\nshare = 1.5", "2:9 SB0411 `brakes.storm.share` is 1.5, it must be above 0 and at most 1"),
    (
        "[auth]\nmode = \"tokn\"",
        "2:8 SB0404 `auth.mode` is \"tokn\", it must be token or off (did you mean \"token\"?)",
    ),
    (
        "listen = \"0.0.0.0:7070\"\n[auth]\nmode = \"off\"",
        "3:8 SB0408 auth is off and 0.0.0.0:7070 can be reached from other machines (listen on 127.0.0.1, or write mode = \"token\")",
    ),
    ("listen = \"[::1]:7070\"\n[auth]\nmode = \"off\"", ""),
    (
        "[auth.tokens.a]\nrole = \"admin\"",
        "1:14 SB0405 `auth.tokens.a.token_file` is missing (write token_file = …, a path in quotes)",
    ),
    (
        "[auth.tokens.a]\nrole = \"admin\"\ntoken = \"hunter2\"\ntoken_file = \"x\"",
        "3:1 SB0406 `auth.tokens.a.token` is a secret in the configuration (put it into a file and write token_file = \"…\")",
    ),
    (
        "[auth.tokens.a]\nrole = \"boss\"\ntoken_file = \"x\"",
        "2:8 SB0404 `auth.tokens.a.role` is \"boss\", it must be one of sender, viewer, author, operator, admin",
    ),
    (
        "[auth.tokens]\na = {role = \"admin\", token_file = \"x\"}\nb = {role = \"admin\", token_file = \"./x\"}",
        "3:35 SB0412 tokens `a` and `b` have the same token_file: nobody could tell who it was (give each a file of its own)",
    ),
    (
        "[llm]\napi_key = \"k\"",
        "2:1 SB0406 `llm.api_key` is a secret in the configuration (put it into a file and write api_key_file = \"…\")",
    ),
    ("[llm.models]\nchose = \"m\"", "2:9 SB0409 `llm.models.chose`: \"chose\" is no purpose (did you mean `choose`?)"),
    ("[llm]\nconfidence = 1.5", "2:14 SB0411 `llm.confidence` is 1.5, it must be from 0 to 1"),
    ("[llm]\nattempts = 0", "2:12 SB0411 `llm.attempts` is 0, it must be from 1 to 10"),
    ("[llm]\nredact = [\"x*\"]", "2:11 SB0404 pattern `x*` matches the empty text"),
    (
        "[llm.prices.m]\ninput = 1.0",
        "1:13 SB0405 `llm.prices.m.output` is missing (write output = …, a number like 0.25)",
    ),
    (
        "[llm]\nbase_ulr = \"http://h\"\nmodel = \"m\"\nattempts = 0\n[otel]\nendpoint = \"h\"",
        "2:1 SB0403 unknown key `llm.base_ulr` (did you mean `base_url`?)\n4:12 SB0411 `llm.attempts` is 0, it must be from 1 to 10\n6:12 SB0404 `otel.endpoint` is \"h\", it must be a url like \"http://127.0.0.1:9090\"",
    ),
    ("[otel]\nsample = 1.5", "2:10 SB0411 `otel.sample` is 1.5, it must be from 0 to 1"),
    (
        "[otel]\nheaders_file = \"h\"",
        "2:16 SB0405 `otel.headers_file` stands without `endpoint` (add endpoint = \"…\")",
    ),
    ("[otel]\nservice_name = \" \"", "2:16 SB0404 `otel.service_name` must have 1 to 128 bytes"),
    ("[llm]\nmodel = \"m\"", "2:9 SB0405 `llm.model` stands without `base_url` (add base_url = \"…\")"),
    (
        "[prometheus]\nurl = \"http://u:p@h\"",
        "2:7 SB0406 `prometheus.url` has a user or password in it (put the secret into a file, and name it with the `_file` key)",
    ),
    (
        "[prometheus]\nurl = \"h:9090\"",
        "2:7 SB0404 `prometheus.url` is \"h:9090\", it must be a url like \"http://127.0.0.1:9090\"",
    ),
    (
        "[store]\nurl = \"postgres://h/d\"",
        "2:7 SB0410 a store in PostgreSQL is not supported yet (write url = \"sqlite\")",
    ),
    (
        "[docker.hosts.a]\nendpoint = \"ssh://u:p@h\"",
        "2:12 SB0404 endpoint `ssh://u:p@h` has a password in it; use a key, in key_file; write it like ssh://deploy@web1.example.org:22",
    ),
    ("[docker.hosts.a]\nendpoint = \"ssh://u@h\"\nkey_file = \"k\"\nhost_keys = \"accept-new\"", ""),
    (
        "[docker.hosts.a]\nendpoint = \"ssh://u@h\"\nca_file = \"c\"",
        "3:11 SB0404 `docker.hosts.a.ca_file` means nothing for `ssh://u@h` (remove it)",
    ),
    (
        "[docker.hosts.a]\nendpoint = \"unix:///a\"\nknown_hosts_file = \"c\"",
        "3:20 SB0404 `docker.hosts.a.known_hosts_file` means nothing for `unix:///a` (remove it)",
    ),
    (
        "[docker.hosts.a]\nendpoint = \"tcp://h:2376\"\nca_file = \"a\"\ncert_file = \"c\"",
        "4:13 SB0405 `docker.hosts.a.cert_file` stands without `key_file` (add key_file)",
    ),
    (
        "[docker.hosts.a]\nendpoint = \"tcp://h:2376\"\nkey_file = \"k\"\ncert_file = \"c\"",
        "4:13 SB0405 `docker.hosts.a.cert_file` stands without `ca_file` (add ca_file)",
    ),
    ("[docker.hosts.a]\nendpoint = \"tcp://h:2376\"\nca_file = \"a\"\nkey_file = \"k\"\ncert_file = \"c\"", ""),
    (
        "[docker.hosts.a]\nendpoint = \"npipe:x\"",
        "2:12 SB0404 endpoint `npipe:x` is neither unix:///path nor tcp://host:port nor ssh://user@host",
    ),
    (
        "[docker.hosts.\"a/b\"]\nendpoint = \"unix:///x\"",
        "1:15 SB0404 \"a/b\" is no name: it must be 1 to 63 letters, digits, -, _ and .",
    ),
    (
        "[docker.hosts.a]\nendpoint = \"unix:///x\"\nmatch = ['a=\"b\"', 'a==\"b\"']",
        "3:19 SB0404 `docker.hosts.a.match[1]`: \"a==\\\"b\\\"\" is not a matcher: the operators are =, !=, =~, !~ (put a value with = or ~ into double quotes); write it like severity=\"critical\"",
    ),
    (
        "[docker.hosts]\na = {endpoint = \"unix:///a\"}\nb = {endpoint = \"unix:///b\"}",
        "3:5 ~SB0413 docker hosts `a` and `b` have no `match`: their alerts cannot be told apart (add match = ['instance=~\"web1:.*\"'])",
    ),
    (
        "[[routes]]\nrunbook = \"x\"",
        "1:1 ~SB0413 route 1 has no matchers and never matches (add match = ['alertname=\"…\"']; alertname=~\".+\" would be every alert)",
    ),
    (
        "[[routes]]\nmatch = ['a=\"b\"']\nrunbok = \"x\"",
        "1:1 SB0405 `routes[0].runbook` is missing (write runbook = …, a text in quotes)\n3:1 SB0403 unknown key `routes[0].runbok` (did you mean `runbook`?)",
    ),
    (
        "[[routes]]\nmatch = ['a=\"b\"']\nrunbook = \"x\"\nparameters = {a = [1]}",
        "4:19 SB0404 `routes[0].parameters.a` is a list, it must be a text, a number, true or false",
    ),
    (
        "[runbooks.stages]\nx = \"alive\"",
        "2:5 SB0404 `runbooks.stages.x`: there is no stage \"alive\", there are draft, shadow, ask, live; did you mean `live`?",
    ),
    (
        "[runbooks.stages]\nx = \"live@sha256:12\"",
        "2:5 SB0404 `runbooks.stages.x`: \"sha256:12\" is no digest: write live@sha256: and at least 12 of its hex digits, as `sandbook runbooks` shows it",
    ),
    (
        "[runbooks.stages]\nX_Y = \"live\"",
        "2:7 SB0404 \"X_Y\" is no runbook's name: it must be 1 to 63 of a-z, 0-9 and -",
    ),
    ("[policy]\ndirs = [\"a\", \"./a\"]", "2:14 SB0412 `policy.dirs` names /etc/sb/a twice (remove one)"),
    (
        "[notify]\nself = \"opz\"\n[notify.channels.ops]\nkind = \"webhook\"\nurl_file = \"u\"",
        "2:8 SB0409 `notify.self`: there is no channel \"opz\" (did you mean \"ops\"?)",
    ),
    (
        "[[notify.routes]]\non = [\"acted\", \"act\"]\nchannel = \"ops\"",
        "2:16 SB0404 `notify.routes[0].on[1]` is \"act\", it must be one of acted, refused, limited, escalated, contradicted, demoted, approval, tripped, needs-attention, failed",
    ),
    (
        "[[notify.routes]]\non = [\"acted\"]\nchannel = \"ops\"",
        "3:11 SB0409 `notify.routes[0].channel`: there is no channel \"ops\" (add [notify.channels.ops])",
    ),
    (
        "[notify]\nself = \"ops\"\n[notify.channels.ops]\nkind = \"slack\"\nurl = \"https://hooks.slack.com/x\"",
        "5:7 SB0406 `notify.channels.ops.url`: who knows a Slack URL can post there, so it is a secret (put it into a file and write url_file = \"…\")",
    ),
    (
        "[notify]\nself = \"ops\"\n[notify.channels.ops]\nkind = \"pagerduty\"",
        "3:1 SB0405 notify channel `ops` needs routing_key_file",
    ),
    (
        "[notify.channels.ops]\nkind = \"webhook\"\nurl = \"http://h/x\"",
        "1:2 ~SB0413 alerts about Sandbook itself have no channel to go to (write self = \"ops\" under [notify])",
    ),
    (
        "[egress]\nhosts = [\"a\", \"http://b\"]",
        "2:15 SB0404 egress pattern `http://b` has no port from 1 to 65535; write `host`, `host:port` or `host:*`",
    ),
    ("[tls]\ncert_file = \"c\"", "2:13 SB0405 `tls.cert_file` stands without `key_file` (add key_file)"),
    ("[tls]\ncert_file = \"c\"\nkey_file = \"k\"", ""),
    (
        "[tls]\nclient_ca_file = \"c\"",
        "2:18 SB0405 `tls.client_ca_file` stands without a certificate of the daemon's own (add cert_file and key_file)",
    ),
    ("[server]\nconnections = 0", "2:15 SB0411 `server.connections` is 0, it must be from 1 to 100000"),
    ("[server]\nheader_timeout = \"1ms\"", "2:18 SB0411 `server.header_timeout` is 1ms, it must be from 100ms to 10m"),
    ("[server]\nmessage = \"1GiB\"", "2:11 SB0411 `server.message` is 1GiB, it must be from 1KiB to 256MiB"),
    ("[workers]\ncount = 0", "2:9 SB0411 `workers.count` is 0, it must be from 1 to 200"),
    ("[workers]\ncount = -1", "2:9 SB0404 `workers.count` is -1, it must be a whole number from 0"),
    ("[limits]\nmemory = \"1GiB\"", "2:10 SB0411 `limits.memory` is 1GiB, it must be from 1MiB to 256MiB"),
    ("[approvals]\nexpiry = \"10s\"", "2:10 SB0411 `approvals.expiry` is 10s, it must be from 1m to 7d"),
    (
        "public_url = \"sandbook\"",
        "1:14 SB0404 `public_url` is \"sandbook\", it must be a url like \"http://127.0.0.1:9090\"",
    ),
    ("[retention]\nruns = \"1m\"", "2:8 SB0411 `retention.runs` is 1m, it must be from 1h to 366d"),
    (
        "[log]\nlevel = \"a=b=c\"",
        "2:9 SB0404 `log.level` is \"a=b=c\", which is no filter (write error, warn, info, debug or trace)",
    ),
];

#[test]
fn every_mistake_is_placed() {
    let wrong: Vec<String> =
        MISTAKES.iter().flat_map(|(text, want)| check(text, &want.lines().collect::<Vec<_>>())).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn broken_syntax_is_one_problem_a_line() {
    let problems = load("listen = \n[auth\nmode = \"off\"", &[]).expect_err("broken");
    assert!(problems.iter().all(|problem| problem.code == SYNTAX), "{problems:?}");
    assert_eq!(problems[0].line, 1);
}

#[test]
fn variables_override_and_are_placed_by_name() {
    let text = "[docker.hosts.web-1]\nendpoint = \"unix:///a\"\n[brakes]\nper_host = [\"1/1h\"]\n";
    let env = [
        ("SANDBOOK_LISTEN", "[::1]:1"),
        ("SANDBOOK_DATA_DIR", "./d"),
        ("SANDBOOK_DOCKER__HOSTS__WEB_1__ENDPOINT", "unix:///b"),
        ("SANDBOOK_BRAKES__PER_HOST", "[\"2/1h\", \"3/1d\"]"),
        ("SANDBOOK_BRAKES__STORM__SHARE", "0.5"),
        ("SANDBOOK_EGRESS__HOSTS", "one:80"),
        ("SANDBOOK_POLICY__LABEL_GRANTS", "true"),
        ("SANDBOOK_RUNBOOKS__STAGES__RESTART_EXITED", "ask"),
        ("SANDBOOK_NOTIFY__ROUTES", "[]"),
        ("SANDBOOK_SERVER", "x"),
        ("SANDBOOK_TOKEN", "x"),
        ("SANDBOOK_TEST_SEEDS", "9"),
        ("OTHER", "x"),
    ];
    let config = load(text, &env).unwrap_or_else(|problems| panic!("{:?}", lines(&problems)));
    assert_eq!((config.listen.to_string().as_str(), config.data_dir.as_path()), ("[::1]:1", Path::new("./d")));
    assert_eq!(config.docker.hosts["web-1"].endpoint, "unix:///b");
    assert_eq!(config.brakes.per_host.len(), 2);
    assert_eq!((config.brakes.storm.share, config.brakes.storm.min), (0.5, 3));
    assert_eq!(config.egress.hosts, ["one:80"]);
    assert!(config.policy.label_grants);
    assert_eq!(config.runbooks.stages["restart-exited"].to_string(), "ask");
    for (name, value, want) in [
        (
            "SANDBOOK_LISTN",
            "x",
            "SANDBOOK_LISTN:1:1 SB0407 the variable SANDBOOK_LISTN names no configuration key (did you mean `SANDBOOK_LISTEN`?)",
        ),
        (
            "SANDBOOK_STORE_URL",
            "x",
            "SANDBOOK_STORE_URL:1:1 SB0407 the variable SANDBOOK_STORE_URL names no configuration key (did you mean `SANDBOOK_STORE__URL`?)",
        ),
        (
            "SANDBOOK_AUTH__MODE",
            "of",
            "SANDBOOK_AUTH__MODE:1:1 SB0404 `auth.mode` is \"of\", it must be token or off (did you mean \"off\"?)",
        ),
        (
            "SANDBOOK_WORKERS__COUNT",
            "many",
            "SANDBOOK_WORKERS__COUNT:1:1 SB0404 `workers.count` is \"many\", it must be a whole number from 0",
        ),
        (
            "SANDBOOK_STORE__URL__X",
            "x",
            "SANDBOOK_STORE__URL__X:1:1 SB0407 the variable SANDBOOK_STORE__URL__X names no configuration key (unset it, or write SANDBOOK_SECTION__KEY)",
        ),
    ] {
        assert_eq!(lines(&load("", &[(name, value)]).expect_err(name)), [want]);
    }
}

#[test]
fn the_collector_of_the_machine_is_taken_where_none_is_named() {
    let url = "http://collector:4318";
    let endpoint = |text: &str, env: &[(&str, &str)]| {
        let config = load(text, env).unwrap_or_else(|problems| panic!("{:?}", lines(&problems)));
        (config.otel.endpoint.clone().unwrap_or_default(), lines(&config.warnings))
    };
    let here = (OTEL_ENDPOINT, url);
    assert_eq!(endpoint("", &[here]), (url.to_owned(), vec![]));
    assert_eq!(endpoint("[otel]\nheaders_file = \"h\"", &[here]).0, url, "the rest is as configured");
    let own = "[otel]\nendpoint = \"http://own:4318\"";
    assert_eq!(endpoint(own, &[here, (OTEL_HEADERS, "a=b")]), ("http://own:4318".to_owned(), vec![]));
    assert_eq!(endpoint("", &[here, ("SANDBOOK_OTEL__ENDPOINT", "http://own:4318")]).0, "http://own:4318");
    for none in [vec![(OTEL_ENDPOINT, " ")], vec![here, (OTEL_DISABLED, "TRUE")], vec![(OTEL_HEADERS, "a=b")]] {
        assert_eq!(endpoint("", &none), (String::new(), vec![]), "{none:?}");
    }
    let (_, warnings) = endpoint("", &[here, (OTEL_HEADERS, "authorization=Bearer%20s3cret"), (OTEL_PROTOCOL, "grpc")]);
    assert_eq!(
        warnings,
        [
            "OTEL_EXPORTER_OTLP_HEADERS:1:1 ~SB0413 the variable OTEL_EXPORTER_OTLP_HEADERS is not read: a secret is named by its file (write the headers into a file, a `name: value` a line: [otel] headers_file)",
            "OTEL_EXPORTER_OTLP_PROTOCOL:1:1 ~SB0413 the variable OTEL_EXPORTER_OTLP_PROTOCOL says \"grpc\", but traces go over http/protobuf (name the collector's address for HTTP: [otel] endpoint, mostly port 4318)",
        ]
    );
    assert_eq!(endpoint("", &[here, (OTEL_PROTOCOL, "http/protobuf")]).1, Vec::<String>::new());
    for wrong in ["collector:4318", "grpc://collector:4317", "http://user:pw@collector:4318"] {
        let problems = load("", &[(OTEL_ENDPOINT, wrong)]).expect_err(wrong);
        assert_eq!(problems[0].file, OTEL_ENDPOINT, "{problems:?}");
        assert!(!problems[0].message.contains("pw"), "{problems:?}");
    }
}

#[test]
fn a_missing_file_is_an_error_and_not_the_defaults() {
    let problems = Config::load(Some(Path::new("/nowhere/c.toml")), std::iter::empty()).expect_err("missing");
    assert_eq!((problems[0].code, problems[0].file.as_str()), (UNREADABLE, "/nowhere/c.toml"));
}

#[test]
fn the_reference_has_every_key_once_with_its_default() {
    let text = reference();
    for line in [
        "| `listen` | an address with a port in quotes, like \"127.0.0.1:7070\" or \"[::1]:7070\" | `\"127.0.0.1:7070\"` | Where the daemon listens. |",
        "## `[docker.hosts.NAME]`",
        "| `ca_file` | a path in quotes | – | `tcp://`: CA of the engine's certificate, PEM; with it the connection is under TLS. |",
        "## `[[routes]]`",
        "## `[runbooks.stages]`",
        "## `[brakes.storm]`",
        "| `share` | a number like 0.25 | `0.25` | Share of a host's containers, from 0 to 1. |",
        "| `self` | a text in quotes | – | Channel for alerts about Sandbook itself. |",
        "## `[[notify.routes]]`",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
}

#[test]
fn the_receiver_has_the_token_unless_auth_is_off() {
    let config = Config::default();
    let yaml = alertmanager_receiver(&config, "/etc/alertmanager/it's", "http://h:7070/");
    assert!(
        yaml.contains("url: 'http://h:7070/webhook/alerts'")
            && yaml.contains("credentials_file: '/etc/alertmanager/it''s'")
    );
    assert!(yaml.contains("send_resolved: true") && yaml.contains("continue: true"));
    assert!(yaml.contains("- receiver: sandbook\n") && yaml.contains("- name: sandbook\n"));
    assert!(!yaml.contains("watchdog"));
    let named = "[alertmanager]\nreceiver = \"the engine\"\nwatchdog = \"10m\"";
    let named = alertmanager_receiver(&load(named, &[]).expect("sound"), "x", "http://h");
    assert_eq!(named.matches("receiver: 'the engine'\n").count(), 2, "{named}");
    assert!(named.contains("matchers: ['sandbook=\"watchdog\"']"), "{named}");
    let off = load("[auth]\nmode = \"off\"", &[]).expect("sound");
    assert!(!alertmanager_receiver(&off, "x", "http://h").contains("credentials_file"));
}

#[test]
fn ceilings_only_lower() {
    let limits = load("[limits]\ncpu = \"2s\"\nmemory = \"128MiB\"", &[]).expect("sound").limits.clone();
    let own = manifest::Limits {
        cpu: Some(DurationMs(9_000)),
        memory: Some(Bytes(256 << 20)),
        ..manifest::Limits::default()
    };
    let of = limits.of(&own);
    assert_eq!((of.cpu_ms, of.memory_bytes, of.wall_ms), (2_000, 128 << 20, 600_000));
    assert_eq!(limits.of(&manifest::Limits::default()).memory_bytes, 64 << 20);
}
