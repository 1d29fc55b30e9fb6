//! `notify test` and `digest`: whether a channel works, and what the last days were like.
//!
//! Deliberately not here: sending anything else; the daemon does, by its routes.

use super::args::{DigestArgs, NotifyCommand};
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::look::since;
use super::screen::Screen;
use super::text::{clean, field};

pub(super) async fn notify(client: &Client, screen: &Screen, command: &NotifyCommand) -> Result<Exit, Failure> {
    let NotifyCommand::Test { channel } = command;
    let answer = client.send(reqwest::Method::POST, &format!("/v1/notify/{}/test", segment(channel)), None).await?;
    if screen.json {
        screen.value(&answer);
    } else {
        screen.line(&format!("channel {} took it: {}", clean(channel), clean(&field(&answer, "answer"))));
    }
    Ok(Exit::Ok)
}

pub(super) async fn digest(client: &Client, screen: &Screen, args: &DigestArgs) -> Result<Exit, Failure> {
    let answer = client.get("/v1/digest", &[("since", since(&args.since)?)]).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    for line in field(&answer, "text").lines() {
        screen.line(&clean(line));
    }
    Ok(Exit::Ok)
}
