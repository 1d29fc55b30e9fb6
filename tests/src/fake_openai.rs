//! A model's server at the wire: answers as scripted, misbehaves as scripted, counts what it was asked.
//!
//! It speaks the part of the protocol that Sandbook uses: `POST …/chat/completions`, whole or streamed. Answers are
//! given in the order of the script; when it is used up, the last one of [`FakeOpenAi::always`] is given for ever. Its
//! faults are at the connection, so the daemon's whole way to a model is exercised. Deliberately not here: a model.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::wire::Wire;

/// Bytes of one piece of a streamed answer.
const PIECE_BYTES: usize = 12;

/// How a request is answered.
#[derive(Debug, Clone)]
pub enum Say {
    /// That text.
    Text(String),
    /// That text, in pieces with such a pause between them.
    Slowly(String, Duration),
    /// That text, but the connection ends in its middle.
    Torn(String),
    /// That text, without counting tokens.
    Uncounted(String),
    /// Out of tokens after that text.
    Cut(String),
    /// That status with that message, and a `retry-after` if there is one.
    Status(u16, String, Option<String>),
    /// 400 unless the request does without that key, at any depth; else the text.
    Without(&'static str, String),
    /// Nothing, for ever.
    Hang,
    /// The connection is closed without a word.
    Close,
    /// An answer of so many bytes.
    Huge(usize),
    /// 200 with a body that is no answer.
    Nonsense(String),
}

impl Say {
    /// That JSON.
    pub fn json(value: &Value) -> Say {
        Say::Text(value.to_string())
    }
    /// A refusal with a status.
    pub fn status(code: u16) -> Say {
        Say::Status(code, format!("scripted {code}"), None)
    }
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The path.
    pub path: String,
    /// The `authorization` header, or nothing.
    pub authorization: String,
    /// The body.
    pub body: Value,
    /// When.
    pub at: Instant,
}

impl Asked {
    /// All that was said to the model, in one text.
    pub fn text(&self) -> String {
        let messages = self.body["messages"].as_array().cloned().unwrap_or_default();
        messages.iter().filter_map(|message| message["content"].as_str()).collect::<Vec<_>>().join("\n")
    }
}

/// What the server counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Requests that came.
    pub requests: u64,
    /// Tokens of questions it told of.
    pub tokens_in: u64,
    /// Tokens of answers it told of.
    pub tokens_out: u64,
}

type Chooser = Arc<dyn Fn(&Asked) -> Say + Send + Sync>;

#[derive(Default)]
struct State {
    script: VecDeque<Say>,
    always: Option<Chooser>,
    asked: Vec<Asked>,
    counted: Counted,
}

type Shared = Arc<Mutex<State>>;
type Body = BoxBody<Bytes, Infallible>;

/// A fake server on a free port; gone when dropped.
pub struct FakeOpenAi {
    state: Shared,
    wire: Wire,
}

impl FakeOpenAi {
    /// Listens.
    #[track_caller]
    pub fn start() -> FakeOpenAi {
        let state = Shared::default();
        let ours = state.clone();
        let wire = Wire::listen(0, move |request| answer(request, ours.clone()));
        FakeOpenAi { state, wire }
    }

    /// Its base URL as the configuration has it.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.wire.address)
    }

    /// Answers the next request so; several are answered in order.
    pub fn say(&self, say: Say) -> &FakeOpenAi {
        self.state().script.push_back(say);
        self
    }

    /// Answers so whenever the script is used up.
    pub fn always(&self, say: Say) -> &FakeOpenAi {
        self.answer_with(move |_| say.clone())
    }

    /// Answers each request as the function says, whenever the script is used up.
    pub fn answer_with(&self, choose: impl Fn(&Asked) -> Say + Send + Sync + 'static) -> &FakeOpenAi {
        self.state().always = Some(Arc::new(choose));
        self
    }

    /// Requests so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// What it counted so far.
    pub fn counted(&self) -> Counted {
        self.state().counted
    }

    /// Forgets what is left of the script, and keeps what it counted.
    pub fn forget_script(&self) {
        self.state().script.clear();
    }

    /// Forgets requests and what is left of the script.
    pub fn forget(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(request: Request<Incoming>, state: Shared) -> Result<Response<Body>, std::io::Error> {
    let path = request.uri().path().to_owned();
    let authorization =
        request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let authorization = authorization.to_owned();
    let bytes = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let asked = Asked { path, authorization, body, at: Instant::now() };
    let scripted = {
        let mut state = lock(&state);
        state.asked.push(asked.clone());
        state.counted.requests += 1;
        state.script.pop_front().ok_or(state.always.clone())
    };
    let say = match scripted {
        Ok(say) => say,
        Err(Some(choose)) => choose(&asked),
        Err(None) => Say::Status(500, "the script of the fake is used up".to_owned(), None),
    };
    said(say, &asked, &state).await
}

async fn said(say: Say, asked: &Asked, state: &Shared) -> Result<Response<Body>, std::io::Error> {
    let mut spoken =
        Spoken { state: state.clone(), asked: asked.clone(), finish: "stop", pause: None, torn: false, counts: true };
    match say {
        Say::Text(text) => Ok(spoken.whole_or_streamed(text)),
        Say::Slowly(text, pause) => {
            spoken.pause = Some(pause);
            Ok(spoken.whole_or_streamed(text))
        }
        Say::Torn(text) => {
            (spoken.torn, spoken.counts) = (true, false);
            Ok(spoken.whole_or_streamed(text))
        }
        Say::Uncounted(text) => {
            spoken.counts = false;
            Ok(spoken.whole_or_streamed(text))
        }
        Say::Cut(text) => {
            spoken.finish = "length";
            Ok(spoken.whole_or_streamed(text))
        }
        Say::Status(code, message, retry_after) => Ok(refused(code, &message, retry_after)),
        Say::Without(key, text) if has_key(&asked.body, key) => {
            Ok(refused(400, &format!("unsupported parameter: {key} ({})", text.len()), None))
        }
        Say::Without(_, text) => Ok(spoken.whole_or_streamed(text)),
        Say::Hang => std::future::pending().await,
        Say::Close => Err(std::io::Error::other("closed as scripted")),
        Say::Huge(bytes) => {
            spoken.counts = false;
            Ok(spoken.whole_or_streamed("x".repeat(bytes)))
        }
        Say::Nonsense(text) => Ok(plain(200, text)),
    }
}

fn has_key(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(name, value)| name == key || has_key(value, key)),
        Value::Array(items) => items.iter().any(|item| has_key(item, key)),
        Value::String(text) => text == key,
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// How a text is said.
struct Spoken {
    state: Shared,
    asked: Asked,
    finish: &'static str,
    pause: Option<Duration>,
    torn: bool,
    counts: bool,
}

impl Spoken {
    fn whole_or_streamed(self, text: String) -> Response<Body> {
        let usage = self.usage(&text);
        if self.asked.body["stream"] == json!(true) { self.streamed(text, usage) } else { self.whole(&text, usage) }
    }

    /// Four bytes a token, as it happens.
    fn usage(&self, text: &str) -> Value {
        if !self.counts {
            return Value::Null;
        }
        let (tokens_in, tokens_out) = (self.asked.text().len().div_ceil(4) as u64, text.len().div_ceil(4) as u64);
        let mut state = lock(&self.state);
        state.counted.tokens_in += tokens_in;
        state.counted.tokens_out += tokens_out;
        json!({"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out})
    }

    fn whole(&self, text: &str, usage: Value) -> Response<Body> {
        let message = json!({"role": "assistant", "content": text});
        let mut body = json!({
            "id": "c_1", "object": "chat.completion", "created": 1, "model": self.asked.body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish}], "usage": usage,
        })
        .to_string();
        if self.torn {
            body.truncate(body.len() / 2);
        }
        plain(200, body)
    }

    fn streamed(self, text: String, usage: Value) -> Response<Body> {
        let (send, mut receive) = mpsc::channel::<Bytes>(64);
        tokio::spawn(async move {
            let mut events: Vec<String> = Vec::new();
            let mut pieces: Vec<&str> = Vec::new();
            let mut rest = text.as_str();
            let piece = if text.len() > 1 << 20 { 64 << 10 } else { PIECE_BYTES };
            while !rest.is_empty() {
                let end = (piece.min(rest.len())..=rest.len()).find(|end| rest.is_char_boundary(*end));
                let (head, tail) = rest.split_at(end.unwrap_or(rest.len()));
                pieces.push(head);
                rest = tail;
            }
            let whole = pieces.len();
            if self.torn {
                pieces.truncate(whole / 2);
            }
            events.extend(
                pieces
                    .iter()
                    .map(|piece| event(&json!({"index": 0, "delta": {"content": piece}, "finish_reason": null}))),
            );
            if !self.torn {
                events.push(event(&json!({"index": 0, "delta": {}, "finish_reason": self.finish})));
                if self.asked.body["stream_options"]["include_usage"] == json!(true) && self.counts {
                    events.push(format!("data: {}\n\n", json!({"choices": [], "usage": usage})));
                }
                events.push("data: [DONE]\n\n".to_owned());
            }
            for event in events {
                if send.send(Bytes::from(event)).await.is_err() {
                    return;
                }
                if let Some(pause) = self.pause {
                    tokio::time::sleep(pause).await;
                }
            }
        });
        let frames = futures_stream(move |context| receive.poll_recv(context));
        let body = StreamBody::new(frames);
        let response = Response::builder().status(200).header("content-type", "text/event-stream; charset=utf-8");
        response.body(body.boxed()).expect("a valid response")
    }
}

fn event(choice: &Value) -> String {
    format!("data: {}\n\n", json!({"id": "c_1", "object": "chat.completion.chunk", "choices": [choice]}))
}

fn refused(code: u16, message: &str, retry_after: Option<String>) -> Response<Body> {
    let mut response =
        plain(code, json!({"error": {"message": message, "type": "scripted", "code": null}}).to_string());
    if let Some(value) = retry_after.and_then(|text| text.parse().ok()) {
        response.headers_mut().insert("retry-after", value);
    }
    response
}

fn plain(code: u16, body: String) -> Response<Body> {
    let response = Response::builder().status(code).header("content-type", "application/json");
    response.body(Full::new(Bytes::from(body)).boxed()).expect("a valid response")
}

/// Frames from a channel.
fn futures_stream(
    mut poll: impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<Bytes>> + Send + Sync + Unpin + 'static,
) -> impl futures::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + Sync {
    futures::stream::poll_fn(move |context| poll(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))))
}
