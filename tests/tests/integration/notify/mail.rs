//! Mail in a real conversation: under TLS, with a login, refused for now, refused for good, and hanging.

use sandbook_tests::certs::Ca;
use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::fake_smtp::{FakeSmtp, Mood};
use sandbook_tests::package::{Asks, Package};
use serde_json::json;

use super::{TOLD_WITHIN, channel, escalates};

fn mails(port: u16, more: &str) -> String {
    format!(
        "public_url = \"https://sandbook.test\"\n[notify.channels.mail]\nkind = \"mail\"\nhost = \"localhost\"\nport = {port}\n\
         from = \"Sandbook <sandbook@example.org>\"\nto = [\"dana@example.org\", \"ops@example.org\"]\n{more}\n\
         [[notify.routes]]\non = [\"escalated\"]\nchannel = \"mail\"\n"
    )
}

fn wait_for(daemon: &Daemon, server: &FakeSmtp, count: usize) -> Vec<sandbook_tests::fake_smtp::Mail> {
    sandbook_tests::wait::until(
        &format!("{count} mails"),
        TOLD_WITHIN,
        || daemon.log_tail(),
        || {
            let mails = server.mails();
            if mails.len() >= count { Ok(mails) } else { Err(format!("{mails:?}, {} begun", server.begun())) }
        },
    )
}

#[test]
fn mail_goes_out_under_tls_with_a_login_and_only_to_a_server_that_proves_itself() {
    let ca = Ca::new("a test's CA");
    let server = FakeSmtp::open(Some(&ca.pair("localhost", &["localhost"])));
    let login =
        format!("user = \"sandbook\"\npassword_file = \"./secrets/mail\"\nca_file = \"{}\"", ca.file().display());
    let setup = Setup::with(&mails(server.port(), &login)).file("secrets/mail", "right\n");
    let daemon = Daemon::start(setup);
    daemon.cli(&["notify", "test", "mail"]).expect(0).says("channel mail took it").says("250");
    let mail = &wait_for(&daemon, &server, 1)[0];
    assert!(mail.tls && mail.login == "sandbook:right", "{mail:?}");
    assert_eq!((mail.from.as_str(), mail.to.len()), ("sandbook@example.org", 2), "{mail:?}");
    for part in ["Subject: [sandbook] a test of this channel", "text/plain", "text/html", "https://sandbook.test/"] {
        assert!(mail.data.contains(part), "{part}: {}", mail.data);
    }

    // A runbook's own message goes the same way.
    let script = "fn run(input) { notify::send(#{ channel: \"mail\", title: \"<b>hello\", text: \"all well\" }); done(\"told\") }";
    daemon.push_live(&Package::rhai("tells", Asks { effects: &["notify.send"], ..Asks::default() }, script));
    assert_eq!(daemon.ended(&daemon.run("tells", &json!({})))["outcome"], "done");
    let mail = &wait_for(&daemon, &server, 2)[1];
    assert!(
        mail.data.contains("&lt;b&gt;hello") && mail.data.contains("Subject: [sandbook] <b>hello"),
        "{}",
        mail.data
    );

    // The wrong password, and a server nobody vouches for.
    daemon.write("secrets/mail", "wrong\n");
    daemon.cli(&["notify", "test", "mail"]).expect(1).says("SB0540").says("535");
    let stranger = FakeSmtp::open(Some(&Ca::new("another CA").pair("localhost", &["localhost"])));
    let other = Daemon::start(Setup::with(&mails(stranger.port(), &login)).file("secrets/mail", "right\n"));
    other.cli(&["notify", "test", "mail"]).expect(1).says("SB0540");
    assert!(stranger.mails().is_empty(), "its certificate is nobody's");
    let plain = FakeSmtp::open(None);
    let other = Daemon::start(Setup::with(&mails(plain.port(), &login)).file("secrets/mail", "right\n"));
    other.cli(&["notify", "test", "mail"]).expect(1).says("SB0540");
    assert!(plain.mails().is_empty(), "no password in the clear");
}

#[test]
fn mail_is_tried_again_when_it_is_refused_for_now_or_hangs_and_dropped_when_refused_for_good() {
    let server = FakeSmtp::open(None);
    server.mood(Mood::Answer("451 busy, later")).mood(Mood::Hang);
    let daemon = Daemon::start(Setup::with(&mails(server.port(), "tls = \"none\"")));
    daemon.push_live(&escalates());
    let run = daemon.run("passes-on", &json!({}));
    daemon.ended(&run);
    let mail = &wait_for(&daemon, &server, 1)[0];
    assert!(mail.data.contains(&format!("sandbook show {run}")) && server.begun() >= 3, "{mail:?}");
    assert!(
        mail.data.contains(&format!("Message-ID: <sandbook-{}-escalated.", run.replace('_', "."))),
        "{}",
        mail.data
    );
    channel(&daemon, "mail", |mail| mail["sent"] == 1 && mail["waiting"] == 0);

    server.mood(Mood::Answer("550 nobody here"));
    daemon.ended(&daemon.run("passes-on", &json!({})));
    let dropped = channel(&daemon, "mail", |mail| mail["dropped"] == 1);
    assert!(
        dropped["error"].as_str().is_some_and(|why| why.contains("550") || why.contains("nobody here")),
        "{dropped}"
    );
    assert_eq!(server.mails().len(), 1);
}
