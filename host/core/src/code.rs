//! Error codes: what a message, an answer or the log names as `SB0404`, each with a page for whoever is on call.
//!
//! The pages are `docs/errors/*.md`, embedded: a code without its page does not compile. Ranges: SB01 HTTP, tokens and
//! intake; SB02 manifests and packages; SB03 policy; SB04 configuration; SB05 runs; SB06 store and data directory; SB07
//! Docker; SB08 the model and its drafts. Deliberately not here: who reports which code, and statuses of HTTP. A code never changes its meaning, and a
//! code that is no longer reported keeps its page.

/// A code with its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Such as `SB0404`.
    pub code: &'static str,
    /// Lower case, no full stop.
    pub title: &'static str,
    /// Markdown: what it means, why it happens, what to do.
    pub page: &'static str,
}

macro_rules! codes {
    ($($code:literal = $title:literal,)+) => {
        /// Every code, ascending.
        pub const ALL: &[Code] = &[$(Code {
            code: $code,
            title: $title,
            page: include_str!(concat!("../../../docs/errors/", $code, ".md")),
        }),+];
    };
}

codes! {
    // HTTP, tokens and intake.
    "SB0101" = "the body is not JSON",
    "SB0102" = "the body is not an alert message",
    "SB0103" = "the body is too large",
    "SB0104" = "no valid token",
    "SB0105" = "the token's role is not enough",
    "SB0106" = "it cannot be made durable now",
    "SB0107" = "there is no such thing",
    "SB0108" = "the version has other bytes",
    "SB0109" = "the content type is not supported",
    "SB0110" = "the origin is refused",
    "SB0111" = "the id is ambiguous",
    "SB0112" = "an argument is not valid",
    "SB0113" = "it is too late for that",
    "SB0114" = "a defect of the daemon",
    "SB0115" = "it took too long",
    "SB0116" = "too many requests at once",
    "SB0120" = "too many requests in a time",
    "SB0121" = "only a person may do that",
    // Manifests and packages.
    "SB0201" = "a manifest is not TOML",
    "SB0202" = "a manifest has an unknown key",
    "SB0203" = "a manifest's value has the wrong type",
    "SB0204" = "a manifest lacks a key",
    "SB0205" = "a manifest's value cannot be read",
    "SB0206" = "a manifest requests an effect that does not exist",
    "SB0207" = "a manifest's limit is out of range",
    "SB0208" = "a parameter's default is not of its type",
    "SB0209" = "a trigger can never match, or mixes sources",
    "SB0210" = "a manifest says something that has no effect",
    "SB0211" = "a package's archive is refused",
    "SB0212" = "a package is incomplete",
    "SB0213" = "a package is too large",
    "SB0214" = "the code does not compile",
    "SB0215" = "the code uses an effect that is not requested",
    "SB0216" = "a requested effect is never used",
    "SB0217" = "a trigger contradicts itself",
    "SB0218" = "a runbook's name is used twice",
    "SB0219" = "a folder's package cannot be kept",
    "SB0220" = "a scenario cannot be read",
    "SB0221" = "a scenario names something that is not there",
    "SB0240" = "a package is not signed",
    "SB0241" = "a signature cannot be read",
    "SB0242" = "a signature is by a key that is not trusted",
    "SB0243" = "a signature is by a key that expired",
    "SB0244" = "a signature is of another package",
    "SB0245" = "a signature does not hold",
    "SB0246" = "a schedule's time zone does not exist",
    // Policy.
    "SB0301" = "a policy cannot be read",
    "SB0302" = "a policy is not Cedar",
    "SB0303" = "a policy does not fit the schema",
    "SB0304" = "an annotation is wrong",
    "SB0305" = "two policies have the same id",
    "SB0306" = "a policy is probably not what was meant",
    "SB0307" = "a grant cannot be written",
    "SB0308" = "a policy of a person is not taken away",
    // Configuration.
    "SB0401" = "the configuration cannot be read",
    "SB0402" = "the configuration is not TOML",
    "SB0403" = "a configuration key is unknown",
    "SB0404" = "a configuration value cannot be used",
    "SB0405" = "a configuration key is missing",
    "SB0406" = "a secret stands in the configuration",
    "SB0407" = "an environment variable is wrong",
    "SB0408" = "the daemon would be open to the network",
    "SB0409" = "the configuration names something it does not have",
    "SB0410" = "it is not supported yet",
    "SB0411" = "a configuration value is out of range",
    "SB0412" = "something is configured twice",
    "SB0413" = "the configuration is probably not what was meant",
    // Runs.
    "SB0501" = "the replay does not match the journal",
    "SB0502" = "a run needs attention",
    "SB0503" = "an effect was denied",
    "SB0504" = "a run reached a limit",
    "SB0505" = "the guest broke",
    "SB0506" = "there is no target",
    "SB0507" = "the target is ambiguous",
    "SB0508" = "the stage is too low",
    "SB0509" = "a brake holds it back",
    "SB0510" = "the run's version is no longer stored",
    "SB0511" = "a run's journal cannot be read",
    "SB0512" = "a run stops the daemon again and again",
    "SB0520" = "the plan expired",
    "SB0521" = "the plan was applied already",
    "SB0522" = "the world is not the plan's any more",
    "SB0523" = "the plan's version is not stored",
    // Store and data directory.
    "SB0601" = "the data directory is in use",
    "SB0602" = "the data directory cannot be written",
    "SB0603" = "the disk is full",
    "SB0604" = "the database is of a newer version",
    "SB0605" = "the database is damaged",
    // Docker.
    "SB0701" = "a docker host cannot be reached",
    "SB0702" = "a docker host does not answer",
    "SB0703" = "the docker api is too old",
    // The model.
    "SB0801" = "no model is configured",
    "SB0802" = "the model's budget is used up",
    "SB0803" = "the model's server refused the key",
    "SB0804" = "the model's server did not answer properly",
    "SB0805" = "the model's answer cannot be used",
    // The model and its drafts.
    "SB0811" = "a model's draft is not sound",
    "SB0812" = "a draft of a model is trusted by a person",
}

/// The code of that name; lower case and a missing `SB` are forgiven.
pub fn find(code: &str) -> Option<&'static Code> {
    let code = code.trim();
    let digits = code.get(..2).filter(|start| start.eq_ignore_ascii_case("sb")).map_or(code, |_| &code[2..]);
    ALL.iter().find(|known| &known.code[2..] == digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_pages_begin_with_code_and_title() {
        assert!(ALL.windows(2).all(|pair| pair[0].code < pair[1].code));
        for Code { code, title, page } in ALL {
            assert!(code.len() == 6 && code.starts_with("SB0"), "{code}");
            assert_eq!(page.lines().next(), Some(format!("# {code}: {title}").as_str()));
            for part in ["**What it means.**", "**Why it happens.**", "**What to do.**"] {
                assert!(page.contains(part), "{code} has no {part}");
            }
            let lines = page.lines().count();
            assert!((12..=30).contains(&lines), "{code} has {lines} lines");
        }
    }

    #[test]
    fn the_manifests_codes_keep_their_titles() {
        for (code, title) in crate::manifest::CODES {
            assert_eq!(find(code).map(|code| code.title), Some(*title), "{code}");
        }
    }

    #[test]
    fn codes_are_found_as_people_type_them() {
        for text in ["SB0201", "sb0201", " 0201 "] {
            assert_eq!(find(text).map(|code| code.code), Some("SB0201"), "{text}");
        }
        for text in ["", "S", "SB", "SB9999", "sä0201"] {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
