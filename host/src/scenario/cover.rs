//! Which branches of a script its scenarios reach: the script is executed once more with a note at each branch.
//!
//! A branch is a block of `if`, `else`, `catch` or a switch, and a statement that returns an outcome. The marked script
//! runs beside the one that is judged, never in its place, so that marking cannot change what a scenario finds. A text
//! this cannot read is left unmarked, and its branches are not counted. Deliberately not here: executing anything, and
//! components, whose code is not at hand.

use sandbook_core::problem::line_column;

/// What a marker's note begins with; its number follows.
pub const MARK: &str = "@@cov:";

/// Functions that make an outcome.
const OUTCOMES: [&str; 4] = ["done", "escalate", "fixed", "nothing_to_do"];
/// Words that a block belongs to.
const HEADS: [&str; 10] = ["if", "else", "while", "for", "loop", "do", "fn", "try", "catch", "switch"];

/// A branch.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Point {
    /// In the script, from 1.
    pub line: u32,
    /// Such as `else` or `fixed(…)`.
    pub what: String,
}

/// A script with its markers. The lines are those of the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// To be executed.
    pub source: String,
    /// By number of the marker.
    pub points: Vec<Point>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    /// `{`
    Block,
    /// `#{`, `(`, `[`
    Group,
    Close,
    Arrow,
    Semicolon,
    Comma,
    Other,
}

#[derive(Debug, Clone, Copy)]
struct Token {
    start: usize,
    end: usize,
    kind: Kind,
}

/// What an open bracket means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Statements,
    Switch,
    Group,
}

/// Marks every branch; `None` where brackets or quotes do not close.
pub fn mark(source: &str) -> Option<Marked> {
    let tokens = tokens(source)?;
    let mut marker =
        Marker { source, tokens: &tokens, open: Vec::new(), head: None, points: Vec::new(), inserts: Vec::new() };
    for index in 0..tokens.len() {
        marker.token(index)?;
    }
    if !marker.open.is_empty() {
        return None;
    }
    let Marker { points, mut inserts, .. } = marker;
    inserts.sort_by_key(|(at, _)| *at);
    let mut marked = String::with_capacity(source.len() + inserts.len() * 24);
    let mut from = 0;
    for (at, text) in inserts {
        marked.push_str(&source[from..at]);
        marked.push_str(&text);
        from = at;
    }
    marked.push_str(&source[from..]);
    Some(Marked { source: marked, points })
}

struct Marker<'a> {
    source: &'a str,
    tokens: &'a [Token],
    open: Vec<Inside>,
    /// The last word a block can belong to, and how many brackets were open then.
    head: Option<(&'a str, usize)>,
    points: Vec<Point>,
    inserts: Vec<(usize, String)>,
}

impl<'a> Marker<'a> {
    fn text(&self, index: usize) -> &'a str {
        self.tokens.get(index).map_or("", |token| &self.source[token.start..token.end])
    }

    fn kind(&self, index: Option<usize>) -> Option<Kind> {
        Some(self.tokens.get(index?)?.kind)
    }

    /// Text of a marker for a new point.
    fn point(&mut self, at: usize, what: &str) -> String {
        let (line, _) = line_column(self.source, at);
        self.points.push(Point { line, what: what.to_owned() });
        format!("print(\"{MARK}{}\"); ", self.points.len() - 1)
    }

    fn token(&mut self, index: usize) -> Option<()> {
        match self.tokens[index].kind {
            Kind::Word => self.word(index),
            Kind::Block => self.block(index),
            Kind::Group => self.open.push(Inside::Group),
            Kind::Close => drop(self.open.pop()?),
            Kind::Arrow | Kind::Semicolon | Kind::Comma => self.head = None,
            Kind::Other => {}
        }
        Some(())
    }

    fn word(&mut self, index: usize) {
        let word = self.text(index);
        let before = index.checked_sub(1);
        let part = before.is_some_and(|before| matches!(self.text(before), "." | ":" | "fn"));
        if part {
            return;
        }
        if HEADS.contains(&word) {
            self.head = Some((word, self.open.len()));
        } else if OUTCOMES.contains(&word) && self.text(index + 1) == "(" {
            let returns = before.filter(|before| self.text(*before) == "return");
            self.outcome(index, returns.unwrap_or(index));
        }
    }

    /// An outcome whose statement begins at `start`.
    fn outcome(&mut self, index: usize, start: usize) {
        let what = format!("{}(…)", self.text(index));
        let at = self.tokens[start].start;
        match (self.open.last(), self.kind(start.checked_sub(1))) {
            (Some(Inside::Statements), Some(Kind::Semicolon | Kind::Block | Kind::Close)) => {
                let mark = self.point(at, &what);
                self.inserts.push((at, mark));
            }
            // An arm without a block of its own gets one.
            (Some(Inside::Switch), Some(Kind::Arrow)) => {
                let Some(close) = self.closing(index + 1) else { return };
                if matches!(self.kind(Some(close + 1)), Some(Kind::Comma | Kind::Close)) {
                    let mark = self.point(at, &what);
                    self.inserts.push((at, format!("{{ {mark}")));
                    self.inserts.push((self.tokens[close].end, " }".to_owned()));
                }
            }
            _ => {}
        }
    }

    /// Where the bracket at `open` closes.
    fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (index, token) in self.tokens.iter().enumerate().skip(open) {
            match token.kind {
                Kind::Block | Kind::Group => depth += 1,
                Kind::Close => depth = depth.checked_sub(1)?,
                Kind::Word | Kind::Arrow | Kind::Semicolon | Kind::Comma | Kind::Other => {}
            }
            if depth == 0 {
                return Some(index);
            }
        }
        None
    }

    fn block(&mut self, index: usize) {
        let head = self.head.take_if(|(_, depth)| *depth == self.open.len()).map(|(word, _)| word);
        if head == Some("switch") {
            self.open.push(Inside::Switch);
            return;
        }
        let arm = self.kind(index.checked_sub(1)) == Some(Kind::Arrow);
        self.open.push(Inside::Statements);
        let what = match head {
            Some("if" | "else" | "catch") => head,
            Some(_) => None,
            None => arm.then_some("switch arm"),
        };
        // An outcome that comes first marks the block as well.
        let first = if self.text(index + 1) == "return" { index + 2 } else { index + 1 };
        let marks_itself = OUTCOMES.contains(&self.text(first)) && self.text(first + 1) == "(";
        if let Some(what) = what.filter(|_| !marks_itself) {
            let mark = self.point(self.tokens[index].start, what);
            self.inserts.push((self.tokens[index].end, format!(" {mark}")));
        }
    }
}

/// The words and signs of a script; texts and comments are none.
fn tokens(source: &str) -> Option<Vec<Token>> {
    let bytes = source.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if let Some(end) = skip(bytes, at)? {
            // A text takes part in an expression, white space and comments do not.
            if matches!(bytes[at], b'"' | b'`' | b'\'' | b'#') {
                tokens.push(Token { start: at, end, kind: Kind::Other });
            }
            at = end;
            continue;
        }
        let (kind, length) = match bytes[at] {
            b'{' => (Kind::Block, 1),
            b'#' if bytes.get(at + 1) == Some(&b'{') => (Kind::Group, 2),
            b'(' | b'[' => (Kind::Group, 1),
            b'}' | b')' | b']' => (Kind::Close, 1),
            b';' => (Kind::Semicolon, 1),
            b',' => (Kind::Comma, 1),
            b'=' if bytes.get(at + 1) == Some(&b'>') => (Kind::Arrow, 2),
            byte if byte.is_ascii_alphabetic() || byte == b'_' => (Kind::Word, word_length(&bytes[at..])),
            byte if byte.is_ascii_digit() => (Kind::Other, word_length(&bytes[at..])),
            _ => (Kind::Other, source[at..].chars().next().map_or(1, char::len_utf8)),
        };
        tokens.push(Token { start: at, end: at + length, kind });
        at += length;
    }
    Some(tokens)
}

fn word_length(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
}

/// The end of the white space, comment or text that begins here: `Some(None)` where none does, `None` where it has no end.
fn skip(bytes: &[u8], at: usize) -> Option<Option<usize>> {
    let rest = &bytes[at..];
    Some(match rest {
        [byte, ..] if byte.is_ascii_whitespace() => Some(at + 1),
        [b'/', b'/', ..] => Some(at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())),
        [b'/', b'*', ..] => Some(comment(bytes, at)?),
        [quote @ (b'"' | b'\''), ..] => Some(quoted(bytes, at, *quote)?),
        [b'`', ..] => Some(interpolated(bytes, at)?),
        [b'#', b'"' | b'#', ..] => Some(raw(bytes, at)?),
        _ => None,
    })
}

fn comment(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match bytes.get(at..at + 2)? {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

fn quoted(bytes: &[u8], mut at: usize, quote: u8) -> Option<usize> {
    at += 1;
    loop {
        match *bytes.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// `text ${expression} text`, where a doubled backtick is one of the text.
fn interpolated(bytes: &[u8], mut at: usize) -> Option<usize> {
    at += 1;
    loop {
        match (*bytes.get(at)?, bytes.get(at + 1)) {
            (b'`', Some(b'`')) => at += 2,
            (b'`', _) => return Some(at + 1),
            (b'$', Some(b'{')) => at = expression(bytes, at + 2)?,
            _ => at += 1,
        }
    }
}

/// To behind the `}` that ends an interpolated expression.
fn expression(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 1_usize;
    while depth > 0 {
        if let Some(end) = skip(bytes, at)? {
            at = end;
            continue;
        }
        match *bytes.get(at)? {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    Some(at)
}

/// `#"…"#`, with as many signs at its end as at its beginning.
fn raw(bytes: &[u8], at: usize) -> Option<usize> {
    let signs = bytes[at..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(at + signs) != Some(&b'"') {
        return None;
    }
    let end = [b"\"".as_slice(), &vec![b'#'; signs]].concat();
    let from = at + signs + 1;
    let found = bytes[from..].windows(end.len()).position(|window| window == end)?;
    Some(from + found + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(source: &str) -> Vec<String> {
        let marked = mark(source).expect("readable");
        assert_eq!(marked.source.lines().count(), source.lines().count(), "lines stay where they are");
        marked.points.iter().map(|point| format!("{} {}", point.line, point.what)).collect()
    }

    #[test]
    fn branches_are_found_and_nothing_else_is() {
        let source = r##"
            // if x { fixed("no") }
            fn run(input) { /* { /* nested */ else */
                let map = #{ a: "if {", b: `x ${ if input == () { "`" } else { fixed("}") } } y` };
                if map.a == "}" { return fixed("one"); }
                else if map.len() > 3 { print("two"); } else { print('"'); }
                try { risky(|x| { x }); } catch (e) { print(e); }
                for i in 1..=3 { while false { } }
                switch map { 1 => done("x"), 2 => { print("y"); } _ => escalate(`a, ${b(1)}`) }
                let other = #"if { "# + "\"";
                let value = if other { 1 } else { 2 };
                object.fixed("method");
                nothing_to_do("end")
            }
            fn fixed(own) { own }
        "##;
        assert_eq!(
            points(source),
            [
                "5 fixed(…)",
                "6 if",
                "6 else",
                "7 catch",
                "9 done(…)",
                "9 switch arm",
                "9 escalate(…)",
                "11 if",
                "11 else",
                "13 nothing_to_do(…)"
            ]
        );
    }

    #[test]
    fn what_does_not_close_is_left_alone() {
        for source in ["fn run(x) { ", "fn run(x) { \"", "/* ", "`${", "}"] {
            assert_eq!(mark(source), None, "{source}");
        }
    }
}
