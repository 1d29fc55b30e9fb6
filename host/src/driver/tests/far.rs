//! Engines on other machines: behind a real sshd and behind TLS, with everything that keeps one from them.
//!
//! One engine for each way, started for its test and gone with it.

use std::path::Path;

use sandbook_tests::certs::{Ca, Pair};
use sandbook_tests::docker::Dockerd;
use sandbook_tests::process::free_port;
use sandbook_tests::sshd::Sshd;

use super::*;
use crate::driver::docker::{Endpoint, Identity, Settings, Ssh, Tls};

/// Longer than a machine under load needs for an ssh handshake; what fails does so by itself and sooner.
const WITHIN: Duration = Duration::from_secs(20);

fn host(endpoint: Endpoint) -> Host {
    let settings = Settings { endpoint, connect_timeout: WITHIN, read_timeout: WITHIN };
    Host::new("local", settings)
}

fn over(endpoint: Endpoint) -> Live {
    let mut live = live("unix:///nowhere", &[]);
    live.hosts = Arc::new(Hosts::from([("local".to_owned(), Arc::new(host(endpoint)))]));
    live
}

/// Why an engine is not reached.
fn refusal(endpoint: Endpoint) -> String {
    wait(host(endpoint).versions()).expect_err("it must not be reached").message
}

/// The driver's own threads: a tunnel's tasks go on between calls.
fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: std::sync::LazyLock<tokio::runtime::Runtime> =
        std::sync::LazyLock::new(|| tokio::runtime::Runtime::new().expect("a runtime"));
    RUNTIME.block_on(future)
}

fn by_ssh(sshd: &Sshd, socket: &Path, change: impl FnOnce(&mut Ssh)) -> Endpoint {
    let Ok(Endpoint::Ssh(mut ssh)) = Endpoint::parse(&sshd.endpoint(socket)) else { panic!("an ssh endpoint") };
    ssh.key_file = Some(sshd.path("client"));
    ssh.known_hosts_file = Some(sshd.path("known_hosts"));
    change(&mut ssh);
    Endpoint::Ssh(ssh)
}

#[test]
fn an_engine_behind_ssh_is_driven_until_the_way_is_cut_and_comes_back_by_itself() {
    let engine = Dockerd::start();
    let mut sshd = Sshd::start();
    let web = engine.service("web");
    let live = over(by_ssh(&sshd, engine.socket(), |_| {}));
    let inspect = || wait(drive(&live, "docker.inspect-container", json!({"container": "web"}), web.id(), None));
    assert_eq!(inspect().expect("details")["state"]["status"], "running");
    let exec = json!({"container": "web", "argv": ["echo", "hello"], "options": {}});
    let said = wait(drive(&live, "docker.exec", exec, web.id(), None)).expect("a result");
    assert_eq!(said["stdout"], "hello\n", "streams in both directions");

    // The way is cut while a change is under way: it may have happened, and the engine goes on with it.
    let slow = engine.create("slow", &json!({"Cmd": ["sh", "-c", "sleep 1000"], "Healthcheck": {"Test": ["NONE"]}}));
    let before = slow.started_at();
    let lost = std::thread::scope(|scope| {
        let args = json!({"container": "slow", "options": {"grace_ms": 10_000}});
        let driven = scope.spawn(|| wait(drive(&live, "docker.restart-container", args, slow.id(), None)));
        sandbook_tests::wait::until(
            "the restart to be under way",
            WITHIN,
            || sshd.log_tail(),
            || if engine.events("slow", "kill") == 0 { Err("not yet".to_owned()) } else { Ok(()) },
        );
        sshd.cut_sessions();
        driven.join().expect("no panic").expect_err("its answer is lost")
    });
    assert_eq!(lost.kind, ErrorKind::Timeout, "{lost:?}");
    assert!(lost.message.contains("may still have happened"), "{lost:?}");
    sandbook_tests::wait::until(
        "the restart to happen all the same",
        WITHIN,
        || sshd.log_tail(),
        || {
            if slow.started_at() == before { Err("not yet".to_owned()) } else { Ok(()) }
        },
    );
    assert_eq!(engine.events("slow", "restart"), 1);

    // Gone and back, without anybody's help: a new tunnel is made by the next call.
    sshd.kill();
    let gone = inspect().expect_err("nobody listens").message;
    assert!(gone.contains("cannot connect to ssh://") && gone.contains("onnection refused"), "{gone}");
    sshd.restart();
    assert_eq!(inspect().expect("details")["state"]["status"], "running");
}

#[test]
fn what_keeps_ssh_from_an_engine_is_said_with_what_to_do() {
    let sshd = Sshd::start();
    let nowhere = sshd.path("no-docker.sock");
    let refused = |change: &dyn Fn(&mut Ssh)| refusal(by_ssh(&sshd, &nowhere, change));
    let other = sshd.make_known("other_known_hosts", "stranger");
    std::fs::write(sshd.path("empty_known_hosts"), "").expect("a writable folder");
    let stranger = sshd.path("stranger");
    let open = sshd.path("open");
    std::fs::copy(sshd.path("client"), &open).expect("a writable folder");
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("our own file");
    for (what, change, wanted) in [
        ("another host key", &|ssh: &mut Ssh| ssh.known_hosts_file = Some(other.clone()), "somebody may be in between"),
        (
            "another host key, trusting new ones",
            &|ssh: &mut Ssh| {
                ssh.known_hosts_file = Some(other.clone());
                ssh.accept_new = true;
            },
            "somebody may be in between",
        ),
        (
            "an unknown host key",
            &|ssh: &mut Ssh| ssh.known_hosts_file = Some(sshd.path("empty_known_hosts")),
            "ssh-keyscan",
        ),
        ("another client's key", &|ssh: &mut Ssh| ssh.key_file = Some(stranger.clone()), "authorized_keys"),
        ("a key that others can read", &|ssh: &mut Ssh| ssh.key_file = Some(open.clone()), "chmod 600"),
        ("no engine there", &|_: &mut Ssh| {}, "is dockerd running"),
    ] as [(&str, &dyn Fn(&mut Ssh), &str); 6]
    {
        let why = refused(change);
        assert!(why.contains(wanted), "{what}: {why}");
        assert!(why.starts_with("cannot connect to ssh://"), "nothing was sent: {why}");
    }
    // A machine never seen before is believed only where that was asked for, and remembered.
    let new = sshd.path("new_known_hosts");
    let why = refused(&|ssh| {
        ssh.known_hosts_file = Some(new.clone());
        ssh.accept_new = true;
    });
    assert!(why.contains("is dockerd running"), "{why}");
    assert!(std::fs::read_to_string(new).expect("written").contains("ssh-ed25519"));
}

#[test]
fn an_engine_behind_tls_is_driven_and_what_keeps_one_from_it_is_said() {
    let (ca, stranger) = (Ca::new("engines"), Ca::new("strangers"));
    let own = ca.pair("engine", &["127.0.0.1"]);
    let (client, expired, foreign) =
        (ca.pair("client", &["client"]), ca.expired("old", &["client"]), stranger.pair("foreign", &["client"]));
    let port = free_port();
    let mut engine = Dockerd::start_tls(&ca, &own, port);
    let reached = |by: &str, ca: &Ca, pair: Option<&Pair>| {
        let identity = pair.map(|pair| Identity { cert_file: pair.cert.clone(), key_file: pair.key.clone() });
        Endpoint::Tls(Tls { address: format!("{by}:{port}"), ca_file: ca.file(), identity })
    };
    let live = over(reached("127.0.0.1", &ca, Some(&client)));
    let host = live.host("local").expect("configured").clone();
    {
        let web = engine.service("web");
        let restart = json!({"container": "web", "options": {"grace_ms": 1_000}});
        wait(drive(&live, "docker.restart-container", restart, web.id(), None)).expect("restarted");
        assert_eq!(engine.events("web", "restart"), 1);
    }
    for (what, endpoint, wanted) in [
        ("another CA's engine", reached("127.0.0.1", &stranger, Some(&client)), "is not of the CA in"),
        ("another name", reached("localhost", &ca, Some(&client)), "is not for `localhost`"),
        ("no certificate", reached("127.0.0.1", &ca, None), "set cert_file and key_file"),
        ("another CA's certificate", reached("127.0.0.1", &ca, Some(&foreign)), "dockerd --tlscacert"),
        ("an expired certificate", reached("127.0.0.1", &ca, Some(&expired)), "openssl x509 -noout -enddate"),
    ] {
        let why = refusal(endpoint);
        assert!(why.contains(wanted), "{what}: {why}");
        assert!(why.starts_with("cannot connect to tcp://"), "nothing was sent: {why}");
    }
    let plain = refusal(Endpoint::Tcp(format!("127.0.0.1:{port}")));
    assert!(plain.contains("HTTPS"), "{plain}");
    let mixed = Tls { address: format!("127.0.0.1:{port}"), ca_file: client.key.clone(), identity: None };
    let mixed = refusal(Endpoint::Tls(mixed));
    assert!(mixed.contains("holds no certificate"), "{mixed}");

    // Its certificate expires while it is away, then it is renewed: both are found out without a restart of ours.
    let (cert, key) = (own.cert.clone(), own.key.clone());
    let replace = |by: &Pair| {
        std::fs::copy(&by.cert, &cert).expect("our own file");
        std::fs::copy(&by.key, &key).expect("our own file");
    };
    let (old, new) = (ca.expired("old-engine", &["127.0.0.1"]), ca.pair("new-engine", &["127.0.0.1"]));
    engine.bounce(|| {
        replace(&old);
        let gone = wait(host.ping()).expect_err("nobody listens").message;
        assert!(gone.contains("cannot connect to tcp://") && gone.contains("refused"), "{gone}");
    });
    let expired = wait(host.ping()).expect_err("expired").message;
    assert!(expired.contains("has expired") && expired.contains("--tlscert"), "{expired}");
    engine.bounce(|| replace(&new));
    wait(host.ping()).expect("it answers again");
}
