//! A real Chromium, driven over WebDriver: what a person sees and clicks, with scripts or without, light or dark.
//!
//! Chromium and its driver come from Debian; the accessibility checks from the npm package axe-core, which `./dev test`
//! puts into the target folder. Each browser has a profile of its own. Deliberately not here: anything about Sandbook.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::key::Key;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::process::{Leashed, free_port, require};
use crate::{repository, wait};

/// Chromium starts in a second; a loaded machine is given much longer.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// A page is rendered by the daemon at once, and live news come within a second or two.
const SEEN_WITHIN: Duration = Duration::from_secs(60);

/// How a browser looks at pages.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Width and height of its window.
    pub size: (u32, u32),
    /// It prefers dark pages.
    pub dark: bool,
    /// It executes scripts of pages.
    pub scripts: bool,
}

impl Look {
    /// A desk.
    pub const DESK: Look = Look { size: (1280, 900), dark: false, scripts: true };
    /// A phone at night.
    pub const PHONE: Look = Look { size: (390, 844), dark: true, scripts: true };
}

/// A browser with one window.
#[derive(Debug)]
pub struct Browser {
    runtime: Runtime,
    client: Option<Client>,
    base: String,
    _driver: Leashed,
    _folder: TempDir,
}

impl Browser {
    /// Starts one that visits the pages of `base`.
    #[track_caller]
    pub fn start(base: &str, look: Look) -> Browser {
        require("chromedriver", "chromium-driver");
        require("chromium", "chromium");
        let folder = TempDir::with_prefix("sandbook-browser-").expect("a temporary folder");
        let port = free_port();
        let option = format!("--port={port}");
        let driver =
            Leashed::start("chromedriver", &["chromedriver", &option], &folder.path().join("driver.log"), false, None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let capabilities = capabilities(&folder.path().join("profile"), look);
        let client = wait::until(
            "Chromium to start",
            UP_WITHIN,
            || driver.log_tail(),
            || {
                let mut builder = ClientBuilder::new(HttpConnector::new());
                builder.capabilities(capabilities.clone());
                runtime
                    .block_on(builder.connect(&format!("http://127.0.0.1:{port}")))
                    .map_err(|error| error.to_string())
            },
        );
        Browser { runtime, client: Some(client), base: base.to_owned(), _driver: driver, _folder: folder }
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("it is closed only at its end")
    }

    /// Visits a page of the site.
    #[track_caller]
    pub fn go(&self, path: &str) {
        let url = format!("{}{path}", self.base);
        self.runtime.block_on(self.client().goto(&url)).unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Path of the page it is on.
    #[track_caller]
    pub fn path(&self) -> String {
        self.runtime.block_on(self.client().current_url()).expect("an address").path().to_owned()
    }

    /// The page as it is now.
    #[track_caller]
    pub fn source(&self) -> String {
        self.runtime.block_on(self.client().source()).expect("a page")
    }

    /// What a person can read of the page, once there is one: between two pages there is none.
    #[track_caller]
    pub fn text(&self) -> String {
        let read = || {
            let body = self.runtime.block_on(self.client().find(Locator::Css("body")));
            let body = body.map_err(|error| error.to_string())?;
            self.runtime.block_on(body.text()).map_err(|error| error.to_string())
        };
        wait::until("a page to read", SEEN_WITHIN, || self.path(), read)
    }

    /// Does something with an element, as soon as it is there: news may be replacing it just now.
    #[track_caller]
    fn with<F: Future<Output = Result<(), CmdError>>>(&self, locator: Locator<'_>, act: impl Fn(Element) -> F) {
        let context = || format!("{}\n{}", self.path(), self.text_or_nothing());
        wait::until(&format!("{locator:?}"), SEEN_WITHIN, context, || {
            let done = async { act(self.client().find(locator).await?).await };
            self.runtime.block_on(done).map_err(|error| error.to_string())
        });
    }

    fn text_or_nothing(&self) -> String {
        let found = self.runtime.block_on(self.client().find(Locator::Css("main")));
        found.ok().and_then(|main| self.runtime.block_on(main.text()).ok()).unwrap_or_default()
    }

    /// How many elements there are.
    pub fn count(&self, css: &str) -> usize {
        self.runtime.block_on(self.client().find_all(Locator::Css(css))).map_or(0, |all| all.len())
    }

    /// Clicks the button or link with these words.
    #[track_caller]
    pub fn press(&self, words: &str) {
        let path = format!("//*[self::button or self::a or self::summary][contains(normalize-space(.), \"{words}\")]");
        self.with(Locator::XPath(&path), |element| async move { element.click().await });
    }

    /// Writes into a field.
    #[track_caller]
    pub fn write(&self, css: &str, text: &str) {
        self.with(Locator::Css(css), |element| async move { element.send_keys(text).await });
    }

    /// Chooses what is sent as that value.
    #[track_caller]
    pub fn choose(&self, css: &str, value: &str) {
        self.with(Locator::Css(css), |element| async move { element.select_by_value(value).await });
    }

    /// Clicks an element whose words are not its own.
    #[track_caller]
    pub fn click(&self, css: &str) {
        self.with(Locator::Css(css), |element| async move { element.click().await });
    }

    /// Waits until it is on a page whose path begins so, and says what follows.
    #[track_caller]
    pub fn await_path(&self, beginning: &str) -> String {
        let arrived = || {
            let path = self.path();
            path.strip_prefix(beginning).map(str::to_owned).ok_or(path)
        };
        wait::until(&format!("the page {beginning}"), SEEN_WITHIN, || self.text_or_nothing(), arrived)
    }

    /// Keys to whatever has the focus.
    #[track_caller]
    pub fn keys(&self, keys: &str) {
        let active = self.runtime.block_on(self.client().active_element()).expect("something has the focus");
        self.runtime.block_on(active.send_keys(keys)).unwrap_or_else(|error| panic!("{keys:?}: {error}"));
    }

    /// Goes on with the tabulator until what has the focus says so, and returns how often that was.
    #[track_caller]
    pub fn tab_to(&self, words: &str) -> usize {
        const FAR: usize = 80;
        for count in 1..=FAR {
            self.keys(&String::from(char::from(Key::Tab)));
            let script = "const a = document.activeElement; return (a.textContent + ' ' + (a.labels ? [...a.labels].map(l => l.textContent).join(' ') : '')).trim();";
            if self.script(script, vec![]).as_str().is_some_and(|text| text.contains(words)) {
                return count;
            }
        }
        panic!("no way to {words} with {FAR} times the tabulator on {}", self.path());
    }

    /// What a keyboard should reach on the page and does not, a line each: goes once around with the tabulator.
    #[track_caller]
    pub fn unreached(&self) -> Vec<String> {
        const WATCH: &str = "window.reached = new Set(); \
            window.reachable = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')] \
                .filter(e => e.tabIndex >= 0 && !e.disabled && e.type !== 'hidden' && e.checkVisibility()); \
            document.addEventListener('focusin', event => window.reached.add(event.target), true); \
            return window.reachable.length";
        const LEFT: &str = "return window.reachable.filter(e => e.isConnected && !window.reached.has(e)) \
            .map(e => e.outerHTML.slice(0, 160))";
        // Once around, and over what the browser itself gives the focus.
        const MORE: usize = 12;
        let count = self.script(WATCH, vec![]).as_u64().and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|count| *count > 0).expect("a page has at least the way to its content");
        self.keys(&String::from(char::from(Key::Tab)).repeat(count + MORE));
        let left = self.script(LEFT, vec![]);
        left.as_array().unwrap_or_else(|| panic!("{left}")).iter().map(Value::to_string).collect()
    }

    /// Where the links of the page lead within the site, without what is asked of the pages.
    #[track_caller]
    pub fn links(&self) -> Vec<String> {
        let script = "return [...document.links].filter(a => a.host === location.host).map(a => a.pathname)";
        let found = self.script(script, vec![]);
        let texts = found.as_array().unwrap_or_else(|| panic!("{found}")).iter();
        texts.filter_map(|link| link.as_str().map(str::to_owned)).collect()
    }

    /// What a script answers; of the test, not of the page.
    #[track_caller]
    pub fn script(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.runtime.block_on(self.client().execute(script, arguments)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until the page says something, without leaving it.
    #[track_caller]
    pub fn await_text(&self, words: &str) {
        wait::until(
            &format!("the page to say {words:?}"),
            SEEN_WITHIN,
            || self.path(),
            || {
                let text = self.text();
                if text.contains(words) { Ok(()) } else { Err(text) }
            },
        );
    }

    /// Serious and critical findings of axe on the page it is on, a line each.
    #[track_caller]
    pub fn barriers(&self) -> Vec<String> {
        let script = format!(
            "{}\nconst done = arguments[arguments.length - 1];\n\
             axe.run(document, {{resultTypes: ['violations']}}).then(\n\
               found => done(found.violations.filter(v => ['serious', 'critical'].includes(v.impact))\n\
                 .flatMap(v => v.nodes.map(n => v.id + ': ' + n.html.slice(0, 160) + ' ' + n.failureSummary.slice(0, 300)))),\n\
               error => done(['axe failed: ' + error]));",
            std::fs::read_to_string(axe()).expect("axe-core is installed")
        );
        let found = self.runtime.block_on(self.client().execute_async(&script, vec![]));
        let found = found.unwrap_or_else(|error| panic!("axe on {}: {error}", self.path()));
        found.as_array().unwrap_or_else(|| panic!("axe answered {found}")).iter().map(Value::to_string).collect()
    }

    /// Keeps a picture of what is in its window, for a person.
    #[track_caller]
    pub fn picture(&self, file: &Path) {
        let bytes = self.runtime.block_on(self.client().screenshot()).expect("a picture");
        std::fs::write(file, bytes).expect("a writable folder");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let _ = self.runtime.block_on(client.close());
        }
    }
}

/// The check itself, where `./dev test` puts it.
fn axe() -> PathBuf {
    let file = repository().join("target/axe/node_modules/axe-core/axe.min.js");
    assert!(file.is_file(), "{} is not there: `./dev test` installs it (npm package axe-core)", file.display());
    file
}

fn capabilities(profile: &Path, look: Look) -> Capabilities {
    let (width, height) = look.size;
    let mut arguments: Vec<String> = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--force-device-scale-factor=1",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("--window-size={width},{height}"));
    arguments.push(format!("--user-data-dir={}", profile.display()));
    arguments.push(format!("--blink-settings=preferredColorScheme={}", if look.dark { 0 } else { 1 }));
    let mut options = json!({"args": arguments});
    if width < 500 {
        // A window cannot be as narrow as a phone; a device can.
        options["mobileEmulation"] =
            json!({"deviceMetrics": {"width": width, "height": height, "pixelRatio": 1.0, "touch": true}});
    }
    if !look.scripts {
        options["prefs"] = json!({"profile.managed_default_content_settings.javascript": 2});
    }
    let mut capabilities = Capabilities::new();
    capabilities.insert("browserName".to_owned(), json!("chrome"));
    capabilities.insert("goog:chromeOptions".to_owned(), options);
    // axe takes seconds on a large page, and many on a loaded machine.
    capabilities.insert("timeouts".to_owned(), json!({"script": 120_000}));
    capabilities
}
