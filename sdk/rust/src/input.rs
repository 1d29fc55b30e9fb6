//! Reading the input: the target that must be there, labels of the alert, parameters by type.

use crate::{Alert, Error, Input, Target, Value};

impl Input {
    /// The target, or the error of a run that was started without one.
    pub fn target(&self) -> Result<&Target, Error> {
        self.target.as_ref().ok_or_else(|| Error::Invalid("this runbook needs a target: name a container".into()))
    }

    /// The target's handle, which every docker and logs function takes.
    pub fn container(&self) -> Result<&str, Error> {
        self.target().map(|target| target.handle.as_str())
    }

    /// A label of the alert.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.alert.as_ref()?.label(name)
    }

    /// A parameter as the manifest typed it.
    pub fn parameter(&self, name: &str) -> Option<&Value> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.parameter(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.parameter(name)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        match self.parameter(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.parameter(name)? {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// Milliseconds.
    pub fn duration(&self, name: &str) -> Option<u64> {
        match self.parameter(name)? {
            Value::Duration(milliseconds) => Some(*milliseconds),
            _ => None,
        }
    }
}

impl Alert {
    pub fn label(&self, name: &str) -> Option<&str> {
        find(&self.labels, name)
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        find(&self.annotations, name)
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_by_their_type() {
        let parameters = vec![("grace".into(), Value::Duration(5_000)), ("why".into(), Value::Text("x".into()))];
        let input = Input { alert: None, target: None, parameters };
        assert_eq!(input.duration("grace"), Some(5_000));
        assert_eq!(input.duration("why"), None);
        assert_eq!(input.text("why"), Some("x"));
        assert_eq!(input.label("severity"), None);
        assert_eq!(input.container().map_err(|error| error.kind()), Err("invalid"));
    }
}
