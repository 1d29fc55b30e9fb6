//! An outside agent: the Model Context Protocol through the pipes of `sandbook mcp`, and over HTTP.
//!
//! Deliberately not here: what the tools are to answer.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use serde_json::{Value, json};

use crate::http::Client;

/// Greets, calls tools, and reads what they say.
pub trait Agent {
    /// Sends one message and returns its result.
    fn ask(&mut self, method: &str, params: Value) -> Value;

    /// Calls a tool: whether it failed, and everything it said.
    #[track_caller]
    fn call(&mut self, tool: &str, arguments: Value) -> (bool, String) {
        let result = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        let blocks = result["content"].as_array().unwrap_or_else(|| panic!("{tool}: {result}"));
        let text = blocks.iter().filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join("\n");
        (result["isError"] == true, text)
    }

    /// Introduces itself; what the server says of itself.
    fn greet(&mut self) -> Value {
        let me = json!({"name": "test", "version": "1"});
        self.ask("initialize", json!({"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": me}))
    }
}

/// Through the pipes of a child process.
#[derive(Debug)]
pub struct Pipe {
    child: Child,
    to: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    number: u64,
}

impl Pipe {
    /// Starts `sandbook mcp` as the command says.
    #[track_caller]
    pub fn start(command: &mut Command) -> Pipe {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let to = child.stdin.take().expect("a pipe");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Pipe { child, to, lines, number: 0 }
    }

    /// Ends its input, and waits for it to end.
    pub fn end(self) -> ExitStatus {
        let Pipe { mut child, to, .. } = self;
        drop(to);
        child.wait().expect("our child")
    }
}

impl Agent for Pipe {
    #[track_caller]
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let message = json!({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params});
        writeln!(self.to, "{message}").expect("it listens");
        let line = self.lines.next().expect("an answer").expect("text");
        let answer: Value = serde_json::from_str(&line).expect("standard output is the protocol's alone");
        assert_eq!(answer["id"], self.number, "{answer}");
        if method == "initialize" {
            let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
            writeln!(self.to, "{ready}").expect("it listens");
        }
        answer["result"].clone()
    }
}

/// Over HTTP, with a token.
#[derive(Debug)]
pub struct Web(pub Client);

impl Agent for Web {
    #[track_caller]
    fn ask(&mut self, method: &str, params: Value) -> Value {
        let headers = [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self.0.send("POST", "/mcp", &headers, message.to_string()).expect("an answer").expect(200);
        answer.json()["result"].clone()
    }
}
