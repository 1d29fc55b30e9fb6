//! JSON to Rhai values, and the pieces of JSON that arguments are written with.
//!
//! Written out instead of taken from a crate: straight to Rhai's values, in 150 lines, without 200 KB of code in every instance.
//! Whole numbers above 2^63 lose their highest bit (only random numbers are that big), so that they stay whole and positive.

use rhai::{Array, Dynamic, Map};

const MAX_DEPTH: usize = 64;

pub(crate) fn text(out: &mut String, value: &str) {
    out.push('"');
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// A finite number.
pub(crate) fn number(out: &mut String, value: f64) {
    out.push_str(&format!("{value:?}"));
}

pub(crate) fn parse(source: &str) -> Result<Dynamic, String> {
    let mut reader = Reader { source, at: 0 };
    let value = reader.value(0)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.expected("the end")),
    }
}

struct Reader<'a> {
    source: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn byte(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        self.byte()
    }

    fn expected(&self, what: &str) -> String {
        format!("expected {what} at byte {}", self.at)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str, value: impl Into<Dynamic>) -> Result<Dynamic, String> {
        if self.source.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value.into());
        }
        Err(self.expected("a value"))
    }

    fn value(&mut self, depth: usize) -> Result<Dynamic, String> {
        if depth > MAX_DEPTH {
            return Err(self.expected("less nesting"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(self.string()?.into()),
            Some(b't') => self.word("true", true),
            Some(b'f') => self.word("false", false),
            Some(b'n') => self.word("null", ()),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.expected("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Dynamic, String> {
        self.at += 1;
        let mut map = Map::new();
        if self.take(b'}') {
            return Ok(map.into());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.expected("a key"));
            }
            let key = self.string()?;
            if !self.take(b':') {
                return Err(self.expected("`:`"));
            }
            let value = self.value(depth + 1)?;
            map.insert(key.into(), value);
            if self.take(b'}') {
                return Ok(map.into());
            }
            if !self.take(b',') {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Dynamic, String> {
        self.at += 1;
        let mut array = Array::new();
        if self.take(b']') {
            return Ok(array.into());
        }
        loop {
            array.push(self.value(depth + 1)?);
            if self.take(b']') {
                return Ok(array.into());
            }
            if !self.take(b',') {
                return Err(self.expected("`,` or `]`"));
            }
        }
    }

    fn number(&mut self) -> Result<Dynamic, String> {
        let start = self.at;
        while matches!(self.byte(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
            self.at += 1;
        }
        let digits = &self.source[start..self.at];
        if let Ok(whole) = digits.parse::<i64>() {
            return Ok(whole.into());
        }
        if let Ok(large) = digits.parse::<u64>() {
            return Ok(((large & u64::MAX >> 1) as i64).into());
        }
        digits.parse::<f64>().map(Into::into).map_err(|_| self.expected("a number"))
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let start = self.at;
            while !matches!(self.byte(), None | Some(b'"' | b'\\')) {
                self.at += 1;
            }
            out.push_str(&self.source[start..self.at]);
            match self.byte() {
                None => return Err(self.expected("`\"`")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(_) => self.escape(&mut out)?,
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), String> {
        self.at += 1;
        let escaped = self.byte();
        self.at += 1;
        out.push(match escaped {
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'u') => return self.unicode(out),
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            _ => return Err(self.expected("an escape")),
        });
        Ok(())
    }

    fn unicode(&mut self, out: &mut String) -> Result<(), String> {
        let mut units = vec![self.unit()?];
        if (0xd800..0xdc00).contains(&units[0]) && self.source.as_bytes()[self.at..].starts_with(b"\\u") {
            self.at += 2;
            units.push(self.unit()?);
        }
        out.push_str(&String::from_utf16_lossy(&units));
        Ok(())
    }

    fn unit(&mut self) -> Result<u16, String> {
        let unit = self.source.get(self.at..self.at + 4).and_then(|digits| u16::from_str_radix(digits, 16).ok());
        self.at += 4;
        unit.ok_or_else(|| self.expected("four hexadecimal digits"))
    }
}
