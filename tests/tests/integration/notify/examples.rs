//! The examples of `docs/notifications.md`: each is a configuration that loads, and what it posts is what its receiver takes.

use sandbook_tests::daemon::{Daemon, Setup};
use sandbook_tests::receiver::Receiver;
use sandbook_tests::repository;
use serde_json::json;

/// The TOML blocks of the page that configure a channel.
fn blocks() -> Vec<String> {
    let page = std::fs::read_to_string(repository().join("docs/notifications.md")).expect("the page");
    let blocks = page.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block);
    blocks.filter(|block| block.contains("[notify.channels.")).map(str::to_owned).collect()
}

#[test]
fn every_example_of_the_page_posts_what_its_receiver_takes() {
    let receiver = Receiver::open();
    let mut config = String::new();
    for block in blocks() {
        for line in block.lines() {
            let line = match line.split_once(" = ") {
                Some(("url", _)) => format!("url = \"{}\"", receiver.url()),
                Some(("url_file", _)) => "url_file = \"./secrets/url\"".to_owned(),
                Some((key, _)) if key.ends_with("_file") => format!("{key} = \"./secrets/other\""),
                _ => line.to_owned(),
            };
            config.push_str(&line);
            config.push('\n');
            if line == "kind = \"pagerduty\"" {
                // Its own address is PagerDuty's.
                config.push_str(&format!("url = \"{}\"\n", receiver.url()));
            }
        }
    }
    let setup = Setup::with(&config).file("secrets/url", &receiver.url()).file("secrets/other", "s3cret\n");
    let daemon = Daemon::start(setup);
    let post = |channel: &str| {
        daemon.cli(&["notify", "test", channel]).expect(0).says("took it").says("answered 200");
        receiver.posts().pop().expect("it was posted").json()
    };
    let ntfy = post("phone");
    assert_eq!((&ntfy["topic"], &ntfy["title"]), (&json!("sandbook"), &json!("a test of this channel")), "{ntfy}");
    assert!(ntfy["priority"].is_u64() && ntfy["message"].is_string() && ntfy["click"].is_string(), "{ntfy}");
    let discord = post("discord");
    assert_eq!(discord["embeds"][0]["title"], "a test of this channel", "{discord}");
    assert_eq!(discord["allowed_mentions"], json!({"parse": []}), "{discord}");
    let teams = post("teams");
    let card = &teams["attachments"][0];
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive", "{teams}");
    assert_eq!(card["content"]["body"][0]["text"], "a test of this channel", "{teams}");
    let slack = post("chat");
    assert!(slack["blocks"].is_array(), "{slack}");
    let pager = post("pager");
    assert_eq!((&pager["event_action"], &pager["routing_key"]), (&json!("trigger"), &json!("s3cret")), "{pager}");
    daemon.cli(&["notify", "test", "nobody"]).expect(1).says("there is no channel");
    let sent = daemon.anonymous().with_token(&daemon.token("sender-token")).post("/v1/notify/chat/test", &json!({}));
    assert_eq!(sent.status, 403, "{}", sent.text());
}
