//! Engines on other machines, behind a real sshd and behind TLS: driven like one's own, and none disturbs the others.
//!
//! Deliberately not here: each way in which an engine can refuse, see the driver's own tests; engines that hang, see
//! `silence`.

use std::time::{Duration, Instant};

use sandbook_tests::certs::Ca;
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::package::Package;
use sandbook_tests::process::free_port;
use sandbook_tests::sshd::Sshd;
use sandbook_tests::{announce, wait};
use serde_json::json;

/// A run on a host that is there while another is gone: it must not wait for the other's timeouts.
const UNHINDERED_WITHIN: Duration = Duration::from_secs(20);
/// The promise for a host that is back, with the time that ssh and a loaded machine take.
const BACK_WITHIN: Duration = Duration::from_secs(40);
/// A change whose answer is lost is looked at until nothing of it can happen any more.
const SETTLED_WITHIN: Duration = Duration::from_secs(100);

const POLICY: &str = "permit (principal, action in Action::\"mutate\", resource);\n";
const RUNBOOK: &str = r#"//! name = "restart-it"
//! version = "1.0.0"
//! summary = "Restarts what it is about."
//! [target]
//! kind = "container"
//! [requests]
//! effects = ["docker.restart-container"]
//! [brake]
//! attempts = ["1000/1d"]
//! settle = "1ms"
fn run(input) {
    docker::restart_container(input.target, #{ grace_ms: 4000 });
    done("did it")
}
"#;

/// Two engines, two ways, one daemon.
struct Bench {
    sshd: Sshd,
    by_ssh: Dockerd,
    by_tls: Dockerd,
    daemon: Daemon,
    _ca: Ca,
}

impl Bench {
    #[track_caller]
    fn start() -> Bench {
        let ca = Ca::new("engines");
        let (own, client, port) = (ca.pair("engine", &["127.0.0.1"]), ca.pair("client", &["client"]), free_port());
        let (sshd, by_ssh, by_tls) = (Sshd::start(), Dockerd::start(), Dockerd::start_tls(&ca, &own, port));
        let config = format!(
            "[policy]\ndirs = [\"./policy\"]\n[auth]\nmode = \"token\"\n\
             [brakes]\nper_runbook_target = [\"1000/1d\"]\nper_host = [\"1000/1d\"]\nsettle = \"0s\"\n\
             storm = {{ min = 1000, share = 1.0, window = \"10m\" }}\n\
             [docker.hosts.tls]\nendpoint = \"tcp://127.0.0.1:{port}\"\nca_file = {:?}\ncert_file = {:?}\nkey_file = {:?}\n\
             [docker.hosts.ssh]\nendpoint = \"{}\"\nkey_file = {:?}\nknown_hosts_file = {:?}\n",
            ca.file(),
            client.cert,
            client.key,
            sshd.endpoint(by_ssh.socket()),
            sshd.path("client"),
            sshd.path("known_hosts"),
        );
        let daemon = Daemon::start(Setup::with(&config).file("policy/everything.cedar", POLICY));
        daemon.push_live(&Package::rhai_file("restart-it", RUNBOOK));
        Bench { sshd, by_ssh, by_tls, daemon, _ca: ca }
    }

    fn run(&self, target: &str) -> String {
        self.daemon.run("restart-it", &json!({"target": target}))
    }

    /// A run that nothing hinders.
    #[track_caller]
    fn restarts(&self, target: &str) -> Duration {
        let began = Instant::now();
        let ended = self.daemon.ended_within(&self.run(target), UNHINDERED_WITHIN);
        assert_eq!(ended["outcome"], "done", "{ended}");
        began.elapsed()
    }

    #[track_caller]
    fn is_noticed(&self, host: &str) {
        let line = format!("docker host {host} ");
        wait::until(
            "the daemon to notice",
            UNHINDERED_WITHIN,
            || self.daemon.log_tail(),
            || {
                let ready = self.daemon.api().get("/ready").text();
                if ready.contains(&line) { Ok(()) } else { Err(ready) }
            },
        );
    }
}

#[test]
fn hosts_behind_ssh_and_tls_heal_and_one_that_is_gone_disturbs_no_other() {
    let mut bench = Bench::start();
    let plain = json!({"Cmd": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"], "Healthcheck": {"Test": ["NONE"]}});
    for engine in [&bench.by_ssh, &bench.by_tls] {
        std::mem::forget(engine.create("web", &plain));
    }
    let (ssh, tls) = (bench.restarts("ssh/web"), bench.restarts("tls/web"));
    assert_eq!((bench.by_ssh.events("web", "restart"), bench.by_tls.events("web", "restart")), (1, 1));

    // A change whose answer is lost with its session happens once, and is looked at until that is known.
    let stubborn = json!({"Cmd": ["sh", "-c", "sleep 1000"], "Healthcheck": {"Test": ["NONE"]}});
    std::mem::forget(bench.by_ssh.create("stubborn", &stubborn));
    let run = bench.run("ssh/stubborn");
    wait::until(
        "the stop to be under way",
        UNHINDERED_WITHIN,
        || bench.daemon.log_tail(),
        || {
            if bench.by_ssh.events("stubborn", "kill") > 0 { Ok(()) } else { Err("nobody was told to end".to_owned()) }
        },
    );
    bench.sshd.cut_sessions();
    let ended = bench.daemon.ended_within(&run, SETTLED_WITHIN);
    assert_eq!(ended["outcome"], "done", "{ended}");
    assert_eq!(bench.by_ssh.events("stubborn", "restart"), 1);

    // The machine behind ssh is gone: the other goes on, and it comes back without anybody's help.
    bench.sshd.kill();
    bench.is_noticed("ssh");
    let waiting = bench.run("ssh/web");
    let beside_ssh = bench.restarts("tls/web");
    bench.sshd.restart();
    let ended = bench.daemon.ended_within(&waiting, BACK_WITHIN);
    assert_eq!(ended["outcome"], "done", "{ended}");

    // The engine behind TLS ends and starts again.
    let Bench { by_tls, daemon, by_ssh, .. } = &mut bench;
    let mut beside_tls = Duration::ZERO;
    by_tls.bounce(|| {
        let began = Instant::now();
        let run = daemon.run("restart-it", &json!({"target": "ssh/web"}));
        let ended = daemon.ended_within(&run, UNHINDERED_WITHIN);
        assert_eq!(ended["outcome"], "done", "{ended}");
        beside_tls = began.elapsed();
    });
    assert_eq!(by_ssh.events("web", "restart"), 3);
    by_tls.api().post("/containers/web/start", &json!({}));
    let run = bench.run("tls/web");
    let ended = bench.daemon.ended_within(&run, BACK_WITHIN);
    assert_eq!(ended["outcome"], "done", "{ended}");
    announce(&format!(
        "a restart behind ssh took {} ms, behind TLS {} ms; with the other host gone {} and {} ms",
        ssh.as_millis(),
        tls.as_millis(),
        beside_tls.as_millis(),
        beside_ssh.as_millis()
    ));
}
