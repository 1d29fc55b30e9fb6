//! The tools as data: what each is called, what it takes, and the one request of the API it is.
//!
//! Deliberately not here: who may. The request's route says that ([`crate::auth::table`]).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::ToolAnnotations;
use serde_json::{Map, Value, json};

/// Bytes of a text argument at the most: a script with its manifest.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// One tool.
#[derive(Debug)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a sentence or two.
    pub about: &'static str,
    /// What it takes.
    pub arguments: &'static [Argument],
    /// Of the API.
    pub method: &'static str,
    /// Its path, as the table of routes has it.
    pub route: &'static str,
    /// Whether anything is different afterwards.
    pub changes: bool,
}

/// One argument.
#[derive(Debug)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// Of what kind it is.
    pub kind: Kind,
    /// What it means.
    pub about: &'static str,
    /// Whether it must be given.
    pub required: bool,
    /// Where it goes.
    pub place: Place,
}

/// Kinds of arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// Yes or no.
    Flag,
    /// An object of texts, numbers and flags.
    Object,
}

/// Where an argument goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Into the path, for the pattern's piece of that name.
    Path(&'static str),
    /// Into the query.
    Query,
    /// Into the body, a field of its name.
    Field,
    /// A script that is the body.
    Script,
    /// A script as a package, base64 in the body's field `package`.
    Package,
}

/// A request of the API.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Of HTTP.
    pub method: &'static str,
    /// With its query.
    pub path: String,
    /// What is sent.
    pub body: Body,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Nothing.
    None,
    /// JSON.
    Json(Value),
    /// A script.
    Script(String),
}

const fn optional(name: &'static str, kind: Kind, about: &'static str, place: Place) -> Argument {
    Argument { name, kind, about, required: false, place }
}

const fn needed(name: &'static str, kind: Kind, about: &'static str, place: Place) -> Argument {
    Argument { name, kind, about, required: true, place }
}

const fn look(name: &'static str, route: &'static str, about: &'static str, arguments: &'static [Argument]) -> Tool {
    Tool { name, about, arguments, method: "GET", route, changes: false }
}

const LIMIT: Argument = optional("limit", Kind::Number, "how many at the most; 20 is plenty", Place::Query);
const SINCE: Argument =
    optional("since", Kind::Text, "a duration back (90m, 7d) or a time (2026-01-31T00:00:00Z)", Place::Query);
const RUN: Argument = needed("run", Kind::Text, "its id, the id's unique beginning, or `last`", Place::Path("id"));
const RUNBOOK: Argument = needed("runbook", Kind::Text, "its name", Place::Path("name"));
const TARGET: Argument =
    optional("target", Kind::Text, "a container, host/container or host/project/service", Place::Field);
const PARAMETERS: Argument = optional("parameters", Kind::Object, "the runbook's parameters by name", Place::Field);
const EPISODE: Argument = optional("episode", Kind::Text, "id of the alert's episode it is for", Place::Field);
const SCRIPT: &str = "a runbook as one Rhai script with its manifest in leading `//!` lines";

/// Every tool.
pub const TOOLS: &[Tool] = &[
    look("status", "/status", "What is going on: store, hosts, queue, stages, success.", &[]),
    look(
        "alerts",
        "/v1/alerts",
        "Alerts that arrived, newest first, with what matched or why nothing did.",
        &[optional("open", Kind::Flag, "only those that still fire", Place::Query), SINCE, LIMIT],
    ),
    look(
        "alert",
        "/v1/alerts/{id}",
        "One alert's episode, with its labels and runs.",
        &[needed("episode", Kind::Text, "its id", Place::Path("id"))],
    ),
    look(
        "runs",
        "/v1/runs",
        "Runs, newest first, with outcome and whether it helped.",
        &[
            optional("state", Kind::Text, "such as succeeded, failed, waiting, needs-attention", Place::Query),
            optional("runbook", Kind::Text, "only of that runbook", Place::Query),
            optional("target", Kind::Text, "only on that target", Place::Query),
            SINCE,
            LIMIT,
        ],
    ),
    look("run", "/v1/runs/{id}", "One run: what it was about and how it ended.", &[RUN]),
    look(
        "evidence",
        "/v1/runs/{id}/journal",
        "What a run looked at, found, attached as evidence, decided and changed, in order.",
        &[RUN],
    ),
    look(
        "explain",
        "/v1/runs/{id}/explanation",
        "What happened in a run, in plain sentences, each with the records it comes from.",
        &[RUN],
    ),
    look(
        "similar",
        "/v1/alerts/{id}/similar",
        "Earlier incidents like an alert's, what was done about them, and whether it helped.",
        &[needed("episode", Kind::Text, "the alert's episode", Place::Path("id")), LIMIT],
    ),
    look("runbooks", "/v1/runbooks", "Runbooks with stage, success rate and what they ask for.", &[]),
    look("runbook", "/v1/runbooks/{name}", "One runbook with its versions.", &[RUNBOOK]),
    look("targets", "/v1/targets", "Hosts and containers a runbook can be about, with their state.", &[]),
    look("effects", "/v1/effects", "Every effect a runbook can ask for, with arguments and class.", &[]),
    look("grants", "/v1/grants", "What each runbook may change.", &[]),
    look("approvals", "/v1/approvals", "Questions that wait for a person. Only people answer them.", &[]),
    look("brakes", "/v1/brakes", "What was attempted how often, and what is held back until a person has looked.", &[]),
    look("plans", "/v1/plans", "Plans that were made.", &[]),
    look("plan_shown", "/v1/plans/{id}", "One plan.", &[needed("plan", Kind::Text, "its id", Place::Path("id"))]),
    Tool {
        name: "match",
        about: "Which runbook and target an alert means, why, and why not the others. Starts nothing.",
        arguments: &[needed("labels", Kind::Object, "the alert's labels", Place::Field)],
        method: "POST",
        route: "/v1/match",
        changes: false,
    },
    Tool {
        name: "plan",
        about: "What a runbook would do now on the real world: reads are real, nothing is changed. Give the plan's id to a \
                person, who can apply it within 30 minutes.",
        arguments: &[RUNBOOK, TARGET, EPISODE, PARAMETERS],
        method: "POST",
        route: "/v1/runbooks/{name}/plan",
        changes: false,
    },
    Tool {
        name: "plan_draft",
        about: "The same for a script of your own that is not stored. Nothing but the plan is kept.",
        arguments: &[needed("script", Kind::Text, SCRIPT, Place::Package), TARGET, EPISODE, PARAMETERS],
        method: "POST",
        route: "/v1/plans",
        changes: false,
    },
    Tool {
        name: "ask",
        about: "A sentence about what is to be done, on what. Answers with a plan that a person can apply, a question, or a \
                refusal. Changes nothing; needs an author's token and a configured model.",
        arguments: &[needed("sentence", Kind::Text, "such as: restart web-1 if it is unhealthy", Place::Field)],
        method: "POST",
        route: "/v1/ask",
        changes: true,
    },
    Tool {
        name: "generate",
        about: "Lets the daemon's own model draft a runbook: checked, rehearsed, planned, and kept as a draft that sees no \
                alert until a person promotes it.",
        arguments: &[
            optional("description", Kind::Text, "what it is to do, in a sentence or a few", Place::Field),
            optional("prose", Kind::Text, "a runbook people follow by hand, in Markdown", Place::Field),
            optional("run", Kind::Text, "id of a run to learn from", Place::Field),
            EPISODE,
        ],
        method: "POST",
        route: "/v1/runbooks/generate",
        changes: true,
    },
    Tool {
        name: "propose",
        about: "Uploads a runbook as a draft: it is checked and kept, sees no alert and acts on nothing until a person \
                promotes it.",
        arguments: &[needed("script", Kind::Text, SCRIPT, Place::Script)],
        method: "POST",
        route: "/v1/runbooks",
        changes: true,
    },
    Tool {
        name: "start_run",
        about: "Starts a runbook that people promoted. Policy, brakes and approvals hold as for every run; needs an \
                operator's token.",
        arguments: &[
            RUNBOOK,
            TARGET,
            PARAMETERS,
            needed("reason", Kind::Text, "why; it stands in the audit", Place::Field),
        ],
        method: "POST",
        route: "/v1/runbooks/{name}/runs",
        changes: true,
    },
];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Text => "string",
            Kind::Number => "integer",
            Kind::Flag => "boolean",
            Kind::Object => "object",
        }
    }

    fn takes(self, value: &Value) -> bool {
        match self {
            Kind::Text => value.as_str().is_some_and(|text| text.len() <= TEXT_BYTES_MAX),
            Kind::Number => value.is_u64(),
            Kind::Flag => value.is_boolean(),
            Kind::Object => value.is_object(),
        }
    }
}

impl Tool {
    /// As the protocol lists it.
    pub(super) fn described(&self) -> rmcp::model::Tool {
        let properties: Map<String, Value> = self
            .arguments
            .iter()
            .map(|argument| {
                let schema = json!({"type": argument.kind.name(), "description": argument.about});
                (argument.name.to_owned(), schema)
            })
            .collect();
        let required: Vec<&str> =
            self.arguments.iter().filter(|argument| argument.required).map(|argument| argument.name).collect();
        let schema = json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        });
        let schema = schema.as_object().cloned().unwrap_or_default();
        let hints = ToolAnnotations::new().read_only(!self.changes).destructive(false);
        rmcp::model::Tool::new(self.name, self.about, Arc::new(schema)).with_annotations(hints)
    }

    /// The request that a call with these arguments is. Errors: a sentence for the agent.
    pub fn asked(&self, arguments: &Map<String, Value>) -> Result<Asked, String> {
        if let Some(unknown) = arguments.keys().find(|name| !self.arguments.iter().any(|known| known.name == **name)) {
            let known: Vec<&str> = self.arguments.iter().map(|argument| argument.name).collect();
            return Err(format!("{} takes no `{}`; it takes: {}", self.name, shown(unknown), known.join(", ")));
        }
        let mut asked = Asked { method: self.method, path: self.route.to_owned(), body: Body::None };
        let (mut query, mut fields) = (Vec::new(), Map::new());
        for argument in self.arguments {
            let Some(value) = arguments.get(argument.name).filter(|value| !value.is_null()) else {
                if argument.required {
                    return Err(format!("{} needs `{}`: {}", self.name, argument.name, argument.about));
                }
                continue;
            };
            if !argument.kind.takes(value) {
                let kind = argument.kind.name();
                let size = "and within its size";
                return Err(format!("`{}` must be of the kind {kind} {size}: {}", argument.name, argument.about));
            }
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            match argument.place {
                Place::Path(piece) => {
                    asked.path = asked.path.replace(&format!("{{{piece}}}"), &segment(&text));
                }
                Place::Query => query.push((argument.name, text)),
                Place::Field => drop(fields.insert(argument.name.to_owned(), value.clone())),
                Place::Script => asked.body = Body::Script(text),
                Place::Package => {
                    let package = STANDARD.encode(text);
                    fields.insert("package".to_owned(), Value::from(package));
                }
            }
        }
        if self.route == "/v1/runbooks" && self.method == "POST" {
            query.push(("stage", "draft".to_owned()));
        }
        if !query.is_empty() {
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
            asked.path = format!("{}?{query}", asked.path);
        }
        if self.method == "POST" && asked.body == Body::None {
            asked.body = Body::Json(Value::Object(fields));
        }
        Ok(asked)
    }
}

/// A name as one piece of a path.
pub fn segment(name: &str) -> String {
    let mut piece = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:".contains(&byte) {
            piece.push(char::from(byte));
        } else {
            piece.push_str(&format!("%{byte:02X}"));
        }
    }
    // A lone dot or two would climb.
    if piece.bytes().all(|byte| byte == b'.') { piece.replace('.', "%2E") } else { piece }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
