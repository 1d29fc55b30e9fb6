//! What must hold of `[notify]`: channels that are whole, names that exist, secrets that are in files.

use sandbook_core::duration::DurationMs;
use sandbook_core::effect::closest;
use sandbook_core::schedule::Schedule;

use super::{Checker, join};
use crate::config::{BAD_VALUE, ChannelKind, INLINE_SECRET, MISSING_KEY, Sections, UNKNOWN_NAME};

/// The longest that a message is kept for a channel: a week's news is history.
const GIVE_UP_MS_MAX: u64 = 7 * 86_400_000;
/// The longest that a message waits for company.
const GROUP_WAIT_MS_MAX: u64 = 3_600_000;
/// The most messages of a channel in a minute: ten a second is what no receiver of people takes.
const PER_MINUTE_MAX: u32 = 600;
/// Headers that carry secrets.
const SECRET_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

impl Checker<'_> {
    pub(super) fn notify(&mut self, sections: &Sections) {
        let notify = &sections.notify;
        self.range("notify.give_up", notify.give_up, DurationMs(60_000), DurationMs(GIVE_UP_MS_MAX));
        for (name, channel) in &notify.channels {
            let path = join("notify.channels", name);
            self.name(&path, name);
            self.range(&join(&path, "group_wait"), channel.group_wait, DurationMs(0), DurationMs(GROUP_WAIT_MS_MAX));
            self.range(&join(&path, "per_minute"), channel.per_minute, 1, PER_MINUTE_MAX);
            if let Some(port) = channel.port {
                self.range(&join(&path, "port"), port, 1, u32::from(u16::MAX));
            }
            let secret_url = channel.kind == ChannelKind::Slack && channel.url.is_some();
            if secret_url {
                let message = format!("`{path}.url`: who knows a Slack URL can post there, so it is a secret");
                self.error(
                    INLINE_SECRET,
                    &join(&path, "url"),
                    message,
                    "put it into a file and write url_file = \"…\"",
                );
            } else if let Err(error) = channel.driver().check(name) {
                self.error(MISSING_KEY, &path, error.message, "");
            } else {
                self.url(&join(&path, "url"), channel.url.as_ref());
            }
            for header in
                channel.headers.keys().filter(|header| SECRET_HEADERS.contains(&header.to_ascii_lowercase().as_str()))
            {
                let at = join(&join(&path, "headers"), header);
                let message = format!("`{at}` is a secret in the configuration");
                self.error(INLINE_SECRET, &at, message, "use a url with the secret in it, in url_file");
            }
        }
        self.notify_names(sections);
        self.digest(sections);
    }

    /// The digest can be sent when it is due.
    fn digest(&mut self, sections: &Sections) {
        let digest = &sections.notify.digest;
        let Some(schedule) = &digest.schedule else { return };
        if let Err(error) = Schedule::parse(schedule) {
            self.error(BAD_VALUE, "notify.digest.schedule", error.0, "write it like \"0 9 * * 1\"");
        }
        if let Err(why) = crate::schedules::zone(&digest.timezone) {
            self.error(BAD_VALUE, "notify.digest.timezone", why, "write it like \"Europe/Berlin\"");
        }
        if digest.channel.is_none() && sections.notify.self_.is_none() {
            let message = "`notify.digest` has no channel to go to";
            self.error(MISSING_KEY, "notify.digest.schedule", message, "write channel = \"…\" under [notify.digest]");
        }
    }

    /// Channels that are named must be there.
    fn notify_names(&mut self, sections: &Sections) {
        let notify = &sections.notify;
        let known: Vec<&str> = notify.channels.keys().map(String::as_str).collect();
        let named = [
            ("notify.self", notify.self_.as_ref()),
            ("notify.escalation", notify.escalation.as_ref()),
            ("notify.digest.channel", notify.digest.channel.as_ref()),
        ];
        let routes = notify.routes.iter().enumerate();
        let named = named.into_iter().map(|(path, name)| (path.to_owned(), name));
        let named =
            named.chain(routes.map(|(index, route)| (format!("notify.routes[{index}].channel"), Some(&route.channel))));
        for (path, name) in named {
            let Some(name) = name.filter(|name| !known.contains(&name.as_str())) else { continue };
            let help = match closest(name, known.iter().copied()) {
                Some(candidate) => format!("did you mean \"{candidate}\"?"),
                None => format!("add [notify.channels.{name}]"),
            };
            self.error(UNKNOWN_NAME, &path, format!("`{path}`: there is no channel {name:?}"), help);
        }
        if !known.is_empty() && notify.self_.is_none() {
            let message = "alerts about Sandbook itself have no channel to go to";
            self.warn("notify", message, format!("write self = \"{}\" under [notify]", known[0]));
        }
    }
}
