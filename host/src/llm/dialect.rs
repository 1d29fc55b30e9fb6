//! What a server accepts of the protocol. It begins with all of it and gives up one thing a refusal.
//!
//! Deliberately not here: sending. What was learnt holds until the daemon restarts.

use async_openai::types::chat::{
    ChatCompletionRequestAssistantMessage, ChatCompletionRequestMessage, ChatCompletionRequestSystemMessage,
    ChatCompletionRequestUserMessage, ChatCompletionStreamOptions, CreateChatCompletionRequest, ResponseFormat,
    ResponseFormatJsonSchema,
};
use serde_json::Value;

use super::{Fault, Message, Reason, Request, Role};

/// How an answer's shape is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Format {
    /// The server holds the model to the schema.
    #[default]
    Schema,
    /// The server holds the model to JSON.
    Object,
    /// The question alone says it.
    Words,
}

/// Which key bounds the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Bound {
    /// `max_tokens`: what every server but the newest models knows.
    #[default]
    Tokens,
    /// `max_completion_tokens`.
    CompletionTokens,
    /// Neither.
    None,
}

/// What is sent to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    format: Format,
    bound: Bound,
    temperature: bool,
    usage: bool,
    stream: bool,
}

impl Default for Dialect {
    fn default() -> Dialect {
        let (format, bound) = (Format::default(), Bound::default());
        Dialect { format, bound, temperature: true, usage: true, stream: true }
    }
}

impl Dialect {
    /// The next plainer one after a refusal: without what the server names, else without what is newest. `None` when
    /// there is nothing left to give up.
    pub(super) fn plainer(self, refusal: &str, with_schema: bool) -> Option<Dialect> {
        let refusal = refusal.to_ascii_lowercase();
        let names = |word: &str| refusal.contains(word);
        let format = Dialect { format: self.format.plainer(), ..self };
        if (names("max_tokens") || names("max_completion_tokens")) && self.bound != Bound::None {
            return Some(Dialect { bound: self.bound.other(), ..self });
        }
        if names("temperature") && self.temperature {
            return Some(Dialect { temperature: false, ..self });
        }
        if names("stream_options") && self.usage {
            return Some(Dialect { usage: false, ..self });
        }
        // Who refuses a model or a key refuses every dialect.
        if names("model") && (names("not found") || names("not exist") || names("unknown model")) {
            return None;
        }
        if with_schema && format.format != self.format {
            return Some(format);
        }
        if self.usage {
            return Some(Dialect { usage: false, ..self });
        }
        if self.stream {
            return Some(Dialect { stream: false, ..self });
        }
        None
    }

    /// The request's body. Errors: `refused` when it cannot be written, which a request of ours never is.
    pub(super) fn body(self, model: &str, request: &Request) -> Result<Vec<u8>, Fault> {
        let mut messages: Vec<ChatCompletionRequestMessage> = request.messages.iter().map(message).collect();
        let mut format = None;
        if let Some(schema) = &request.schema {
            let words = format!(
                "Answer with one JSON value and nothing else. It must fit this JSON Schema:\n{}",
                schema.schema
            );
            format = match self.format {
                Format::Schema => Some(ResponseFormat::JsonSchema {
                    json_schema: ResponseFormatJsonSchema {
                        description: None,
                        name: schema.name.clone(),
                        schema: schema.schema.clone(),
                        strict: schema.strict.then_some(true),
                    },
                }),
                Format::Object => Some(ResponseFormat::JsonObject),
                Format::Words => None,
            };
            // Also where the server enforces it: what a model knows of the shape it fills better.
            let at = messages.iter().take_while(|said| matches!(said, ChatCompletionRequestMessage::System(_))).count();
            messages.insert(at, message(&Message::system(words)));
        }
        let asked = CreateChatCompletionRequest {
            model: model.to_owned(),
            messages,
            response_format: format,
            temperature: self.temperature.then_some(0.0),
            max_completion_tokens: (self.bound == Bound::CompletionTokens).then_some(request.answer_tokens_max),
            stream: self.stream.then_some(true),
            stream_options: (self.stream && self.usage)
                .then_some(ChatCompletionStreamOptions { include_usage: Some(true), include_obfuscation: None }),
            ..CreateChatCompletionRequest::default()
        };
        let unwritable =
            |error: serde_json::Error| Fault::new(Reason::Refused, format!("the request has no JSON: {error}"));
        let mut body = serde_json::to_value(asked).map_err(unwritable)?;
        if self.bound == Bound::Tokens
            && let Value::Object(keys) = &mut body
        {
            keys.insert("max_tokens".to_owned(), request.answer_tokens_max.into());
        }
        serde_json::to_vec(&body).map_err(unwritable)
    }
}

impl Format {
    fn plainer(self) -> Format {
        match self {
            Format::Schema => Format::Object,
            Format::Object | Format::Words => Format::Words,
        }
    }
}

impl Bound {
    fn other(self) -> Bound {
        match self {
            Bound::Tokens => Bound::CompletionTokens,
            Bound::CompletionTokens | Bound::None => Bound::None,
        }
    }
}

fn message(message: &Message) -> ChatCompletionRequestMessage {
    let text = message.text.clone();
    match message.role {
        Role::System => {
            ChatCompletionRequestSystemMessage { content: text.into(), ..ChatCompletionRequestSystemMessage::default() }
                .into()
        }
        Role::User => {
            ChatCompletionRequestUserMessage { content: text.into(), ..ChatCompletionRequestUserMessage::default() }
                .into()
        }
        Role::Assistant => ChatCompletionRequestAssistantMessage {
            content: Some(text.into()),
            ..ChatCompletionRequestAssistantMessage::default()
        }
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_gives_up_what_it_names_and_comes_to_an_end() {
        let all = Dialect::default();
        let without = all.plainer("Unsupported parameter: 'max_tokens', use 'max_completion_tokens'", true);
        assert_eq!(without, Some(Dialect { bound: Bound::CompletionTokens, ..all }));
        let without = all.plainer("temperature does not support 0.0", true);
        assert_eq!(without, Some(Dialect { temperature: false, ..all }));
        assert_eq!(all.plainer("The model `x` does not exist", true), None);
        let (mut dialect, mut steps) = (all, 0);
        while let Some(plainer) = dialect.plainer("no", true) {
            (dialect, steps) = (plainer, steps + 1);
        }
        assert_eq!((steps, dialect.stream, dialect.format), (4, false, Format::Words));
    }

    #[test]
    fn a_schema_stands_in_words_and_in_the_format() {
        let mut request = Request::new(super::super::Purpose::Choose, vec![Message::system("s"), Message::user("u")]);
        let schema = serde_json::json!({"type": "object"});
        request.schema = Some(super::super::Schema { name: "n".to_owned(), schema, strict: true });
        let body = Dialect::default().body("m", &request).expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["response_format"]["json_schema"]["strict"], true);
        assert_eq!(body["messages"][1]["role"], "system");
        assert_eq!(body["messages"][2]["content"], "u");
        assert_eq!(body["stream_options"]["include_usage"], true);
        assert_eq!(body["max_tokens"], super::super::ANSWER_TOKENS_MAX);
    }
}
