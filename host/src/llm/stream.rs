//! An answer put together from server-sent events, or from one JSON body.
//!
//! Lenient where servers differ (keys that are missing, comments, other event names), strict where a mistake would pass
//! for an answer: a stream that stops without saying so is torn.

use serde::Deserialize;
use serde_json::Value;

use super::wire::{Reply, Trouble};

/// What the last event says.
const DONE: &[u8] = b"[DONE]";
/// Where reasoning models think aloud, in servers that do not keep that apart.
const THINKING: (&str, &str) = ("<think>", "</think>");

/// One event of a stream, or a whole answer.
#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Counted>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    #[serde(default, alias = "message")]
    delta: Option<Said>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Counted {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// What has come so far.
#[derive(Default)]
pub(super) struct Folded {
    /// Bytes of a line that is not over.
    line: Vec<u8>,
    /// Data of an event that is not over.
    data: Vec<u8>,
    text: String,
    refused: Option<String>,
    finish: Option<String>,
    tokens: Option<(u64, u64)>,
    done: bool,
}

impl Folded {
    /// Takes more bytes; true when the server said that it is over.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<bool, Trouble> {
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    self.line(line.strip_suffix(b"\r").unwrap_or(&line))?;
                    if self.done {
                        return Ok(true);
                    }
                }
                other => self.line.push(*other),
            }
        }
        Ok(false)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Trouble> {
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return self.event(&data);
        }
        let Some(data) = line.strip_prefix(b"data:") else { return Ok(()) };
        if !self.data.is_empty() {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        Ok(())
    }

    fn event(&mut self, data: &[u8]) -> Result<(), Trouble> {
        if data.is_empty() {
            return Ok(());
        }
        if data == DONE {
            self.done = true;
            return Ok(());
        }
        let chunk = serde_json::from_slice(data)
            .map_err(|error| Trouble::Nonsense(format!("an event of the stream cannot be read: {error}")))?;
        self.chunk(chunk)
    }

    /// Takes a whole answer.
    pub(super) fn whole(&mut self, value: &Value) -> Result<(), Trouble> {
        let chunk = Chunk::deserialize(value).map_err(|error| Trouble::Nonsense(error.to_string()))?;
        if chunk.choices.is_empty() && chunk.error.is_none() {
            return Err(Trouble::Nonsense("an answer without choices".to_owned()));
        }
        self.chunk(chunk)?;
        self.done = true;
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk) -> Result<(), Trouble> {
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            let code = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            let message = error.get("message").and_then(Value::as_str).unwrap_or("it did not say why").to_owned();
            return Err(Trouble::Status { code: code.unwrap_or(500), message, retry_after: None });
        }
        if let Some(counted) = chunk.usage {
            self.tokens = Some((counted.prompt_tokens, counted.completion_tokens));
        }
        for choice in chunk.choices.into_iter().filter(|choice| choice.index == 0) {
            if let Some(said) = choice.delta {
                self.text.push_str(&said.content.unwrap_or_default());
                self.refused = said.refusal.or(self.refused.take());
            }
            self.finish = choice.finish_reason.or(self.finish.take());
        }
        Ok(())
    }

    /// Bytes of text so far.
    pub(super) fn text_len(&self) -> usize {
        self.text.len()
    }

    /// Whether the model said that it has finished.
    pub(super) fn over(&self) -> bool {
        self.done || self.finish.is_some()
    }

    /// Nothing more comes.
    pub(super) fn end(mut self) -> Result<Reply, Trouble> {
        // A last event without an empty line behind it.
        let (line, data) = (std::mem::take(&mut self.line), std::mem::take(&mut self.data));
        if !self.over() && (!line.is_empty() || !data.is_empty()) {
            self.data = data;
            let taken = self.line(&line).and_then(|()| self.line(b""));
            if taken.is_err() {
                return Err(Trouble::Torn);
            }
        }
        if !self.over() {
            return Err(Trouble::Torn);
        }
        if self.refused.is_some() || self.finish.as_deref() == Some("content_filter") {
            let message = "the model declined to answer".to_owned();
            return Err(Trouble::Status { code: 451, message, retry_after: None });
        }
        let cut = self.finish.as_deref() == Some("length");
        let (tokens_in, tokens_out) = self.tokens.unzip();
        Ok(Reply { text: aloud(self.text), cut, tokens_in, tokens_out })
    }
}

/// Without what the model thinks aloud before it answers.
fn aloud(text: String) -> String {
    let Some(thinks) = text.trim_start().strip_prefix(THINKING.0) else { return text };
    thinks.split_once(THINKING.1).map_or(text.clone(), |(_, answer)| answer.trim_start().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(parts: &[&str]) -> Result<Reply, Trouble> {
        let mut folded = Folded::default();
        for part in parts {
            if folded.feed(part.as_bytes())? {
                break;
            }
        }
        folded.end()
    }

    #[test]
    fn events_are_put_together_however_they_are_cut() {
        let text = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"hé\"}}]}\n\n: still here\n\n\
                    event: x\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"llo\"},\"finish_reason\":\"stop\"}]}\r\n\r\n\
                    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
        for size in 1..text.len() {
            let mut folded = Folded::default();
            for chunk in text.as_bytes().chunks(size) {
                folded.feed(chunk).expect("readable");
            }
            let reply = folded.end().expect("whole");
            assert_eq!((reply.text.as_str(), reply.tokens_in, reply.tokens_out), ("héllo", Some(7), Some(2)));
        }
    }

    #[test]
    fn what_stops_without_saying_so_is_torn() {
        let said = "data: {\"choices\":[{\"delta\":{\"content\":\"restart\"}}]}\n\n";
        assert_eq!(fold(&[said]), Err(Trouble::Torn));
        assert_eq!(fold(&[said, "data: {\"choi"]), Err(Trouble::Torn));
        assert_eq!(fold(&[]), Err(Trouble::Torn));
        let reply = fold(&[said, "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}"]).expect("over");
        assert!(reply.cut && reply.text == "restart");
    }

    #[test]
    fn errors_inside_a_stream_refusals_and_nonsense_are_no_answers() {
        let error = fold(&["data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n"]);
        assert!(matches!(error, Err(Trouble::Status { code: 503, .. })), "{error:?}");
        let error = fold(&["data: {\"choices\":[{\"delta\":{\"refusal\":\"no\"},\"finish_reason\":\"stop\"}]}\n\n"]);
        assert!(matches!(error, Err(Trouble::Status { code: 451, .. })), "{error:?}");
        assert!(matches!(fold(&["data: <html>\n\n"]), Err(Trouble::Nonsense(_))));
    }

    #[test]
    fn thoughts_are_no_part_of_an_answer() {
        assert_eq!(aloud("<think>{\"option\":1}</think>\n{\"option\":0}".to_owned()), "{\"option\":0}");
        assert_eq!(aloud("<think>no end".to_owned()), "<think>no end");
        assert_eq!(aloud("plain".to_owned()), "plain");
    }
}
