//! What went wrong on the wire, sorted by what it says about the world: told by the engine, never reached, or lost.
//!
//! The difference matters for changes: what never reached the engine did not happen, a lost answer may well have.
//! Deliberately not here: settling that. The engine of runs looks at the world afterwards.

use std::io::ErrorKind;

use bollard::errors::Error as Fault;
use sandbook_core::error::Error;

/// Why a call to Docker gave no result.
#[derive(Debug)]
pub(in crate::driver) enum Trouble {
    /// `304`: it was already so.
    NotModified,
    /// The engine said no.
    Told(Error),
    /// No connection: nothing was sent.
    Unreached(String),
    /// The connection broke or the answer made no sense: the engine may have acted.
    Lost(String),
}

impl Trouble {
    pub(super) fn from_fault(fault: Fault) -> Trouble {
        match fault {
            Fault::DockerResponseServerError { status_code: 304, .. } => Trouble::NotModified,
            Fault::DockerResponseServerError { status_code, message } => {
                Trouble::Told(told(status_code, message.trim()))
            }
            // Neither a connection nor a common version: nothing was asked of it.
            Fault::IOError { err } if matches!(err.kind(), ErrorKind::NotConnected | ErrorKind::Unsupported) => {
                Trouble::Unreached(err.to_string())
            }
            Fault::RequestTimeoutError => Trouble::Lost("docker did not answer in time".to_owned()),
            other => Trouble::Lost(format!("docker's answer was cut or unreadable: {}", chain(&other))),
        }
    }

    /// As the answer of a read: it had no effect, so a broken connection is a plain failure.
    pub(in crate::driver) fn into_read_error(self) -> Error {
        match self {
            Trouble::NotModified => Error::failed("docker answered 304 to a read"),
            Trouble::Told(error) => error,
            Trouble::Unreached(why) | Trouble::Lost(why) => Error::failed(why),
        }
    }

    /// As the answer of a change: what may have happened is a timeout, settled by looking.
    pub(in crate::driver) fn into_change_error(self) -> Error {
        match self {
            Trouble::NotModified => Error::conflict("docker answered that it is already so"),
            Trouble::Told(error) => error,
            Trouble::Unreached(why) => Error::failed(why),
            Trouble::Lost(why) => Error::timeout(format!("{why}; it may still have happened")),
        }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Trouble {
        Trouble::from_fault(fault)
    }
}

fn told(status: u16, message: &str) -> Error {
    let message = if message.is_empty() { "no reason given" } else { message };
    match status {
        404 => Error::not_found(format!("docker: {message}")),
        409 => Error::conflict(format!("docker: {message}")),
        _ => Error::failed(format!("docker answered {status}: {message}")),
    }
}

/// An error with its causes: hyper's own text alone says only `client error`.
pub(in crate::driver) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
