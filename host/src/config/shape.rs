//! What the configuration looks like, as data: which keys there are, what they hold, and what is said about them.
//!
//! The sections' structs are the only source: [`section!`] makes the struct, its defaults and its table of keys, so that
//! reading, `config print` and the reference cannot part. Deliberately not here: which sections there are, and meaning
//! beyond one value.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use sandbook_core::duration::{Bytes, DurationMs, Rate};
use sandbook_core::matching::{Matcher, Route};
use serde::de::DeserializeOwned;
use toml::Value;

/// One key of a section.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// Its doc comment.
    pub(super) about: String,
    /// It must be given.
    pub(super) required: bool,
    pub(super) shape: Shape,
}

/// What a key holds.
pub(super) enum Shape {
    /// A scalar.
    Leaf(Leaf),
    /// A list of scalars.
    Leaves(Leaf),
    /// Named keys.
    Table(Vec<Key>),
    /// Names of the operator's own choice.
    Map(Box<Shape>),
    /// `[[…]]`.
    Tables(Vec<Key>),
    /// Any scalars under any names.
    Scalars,
}

/// A scalar.
pub(super) struct Leaf {
    /// For messages and the reference: `it must be …`.
    pub(super) wanted: &'static str,
    /// Whether a text is a path.
    pub(super) path: bool,
    /// Whether TOML writes it in quotes.
    pub(super) text: bool,
    /// Why a value is none of these.
    pub(super) check: fn(&Value) -> Result<(), String>,
}

/// A type that a key may have.
pub(super) trait Kind {
    fn shape() -> Shape;
}

fn check<T: DeserializeOwned>(value: &Value) -> Result<(), String> {
    value.clone().try_into::<T>().map(drop).map_err(|error| error.message().to_owned())
}

/// A scalar of a type.
pub(super) fn leaf<T: DeserializeOwned>(wanted: &'static str, text: bool) -> Shape {
    Shape::Leaf(Leaf { wanted, path: false, text, check: check::<T> })
}

macro_rules! leaves {
    ($($ty:ty, $wanted:literal, $text:literal;)+) => {
        $(impl Kind for $ty {
            fn shape() -> Shape {
                leaf::<$ty>($wanted, $text)
            }
        })+
    };
}

leaves! {
    String, "a text in quotes", true;
    bool, "true or false", false;
    u32, "a whole number from 0", false;
    f64, "a number like 0.25", false;
    SocketAddr, "an address with a port in quotes, like \"127.0.0.1:7070\" or \"[::1]:7070\"", true;
    DurationMs, "a duration in quotes, like \"90s\" or \"1h30m\"", true;
    Rate, "a rate in quotes, like \"3/1h\"", true;
    Bytes, "a size in quotes, like \"64MiB\"", true;
    Matcher, "a matcher in quotes, like 'severity=\"critical\"'", true;
}

impl Kind for PathBuf {
    fn shape() -> Shape {
        Shape::Leaf(Leaf { wanted: "a path in quotes", path: true, text: true, check: check::<PathBuf> })
    }
}

impl<T: Kind> Kind for Option<T> {
    fn shape() -> Shape {
        T::shape()
    }
}

impl<T: Kind> Kind for Vec<T> {
    fn shape() -> Shape {
        match T::shape() {
            Shape::Leaf(leaf) => Shape::Leaves(leaf),
            Shape::Table(keys) => Shape::Tables(keys),
            nested @ (Shape::Leaves(_) | Shape::Map(_) | Shape::Tables(_) | Shape::Scalars) => nested,
        }
    }
}

impl<T: Kind> Kind for BTreeMap<String, T> {
    fn shape() -> Shape {
        Shape::Map(Box::new(T::shape()))
    }
}

/// The core's type, so its keys are named here.
impl Kind for Route {
    fn shape() -> Shape {
        let key = |name, about: &str, required, shape| Key { name, about: about.to_owned(), required, shape };
        Shape::Table(vec![
            key("match", "Matchers; all must hold. None at all never matches.", false, Vec::<Matcher>::shape()),
            key("runbook", "The runbook's name.", true, String::shape()),
            key(
                "target_from",
                "Labels that name the target, instead of the manifest's.",
                false,
                Vec::<String>::shape(),
            ),
            key("parameters", "Values by name; the manifest types them.", false, Shape::Scalars),
            key(
                "priority",
                "Higher goes first; equal ones in the order of the file.",
                false,
                leaf::<i32>("a whole number", false),
            ),
            key("continue", "Goes on to the next route, and to the manifests' triggers.", false, bool::shape()),
        ])
    }
}

/// A section: struct, defaults, table of keys. A field without a default must be given; `as` is its key when that is no
/// identifier.
macro_rules! section {
    ($(#[doc = $about:literal])+ $name:ident {
        $($(#[doc = $doc:literal])+ $field:ident $(as $key:literal)?: $ty:ty $(= $default:expr)?;)*
    }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[doc = $doc])+ $(#[serde(rename = $key)])? pub $field: $ty,)*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: section!(@default $($default)?),)* }
            }
        }

        impl $crate::config::shape::Kind for $name {
            fn shape() -> $crate::config::shape::Shape {
                $crate::config::shape::Shape::Table(vec![$($crate::config::shape::Key {
                    name: section!(@name $field $($key)?),
                    about: [$($doc),+].map(str::trim).join(" "),
                    required: section!(@required $($default)?),
                    shape: <$ty as $crate::config::shape::Kind>::shape(),
                },)*])
            }
        }
    };
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
    (@required) => { true };
    (@required $default:expr) => { false };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $key:literal) => { $key };
}
pub(super) use section;

/// One of a few words.
macro_rules! words {
    ($(#[doc = $about:literal])+ $name:ident ($wanted:literal) {
        $($(#[$meta:meta])* $variant:ident = $word:literal,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$meta])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// The word in the configuration.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl $crate::config::shape::Kind for $name {
            fn shape() -> $crate::config::shape::Shape {
                $crate::config::shape::leaf::<$name>($wanted, true)
            }
        }
    };
}
pub(super) use words;
