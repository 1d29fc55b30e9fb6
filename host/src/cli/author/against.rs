//! What the operator's policy would refuse of a package, whatever it is asked for on: before a run finds out.
//!
//! Only what can be said without a target: a forbid on some containers refuses sometimes, which is policy's own business.
//! Deliberately not here: deciding, see [`crate::policy`].

use sandbook_core::effect::{Class, Effect, Info};
use sandbook_core::problem::Problem;
use serde_json::{Value, json};

use super::CheckArgs;
use crate::cli::client::Client;
use crate::cli::exit::Failure;
use crate::cli::look::list;
use crate::cli::text::field;
use crate::library::Package;
use crate::policy::Policy;

/// Policy would refuse an effect.
const REFUSED: &str = "SB0252";

/// Warnings for what the policies of folders, or the daemon's, never permit.
pub(super) async fn policy(
    client: Option<&Client>,
    package: &Package,
    args: &CheckArgs,
) -> Result<Vec<Problem>, Failure> {
    let grants: Vec<Value> = match client {
        Some(client) => list(&client.get("/v1/grants", &[]).await?, "grants").to_vec(),
        None if args.policy.is_empty() => return Ok(Vec::new()),
        None => match Policy::load(&args.policy, false) {
            Ok(policy) => policy.grants().iter().map(|grant| json!(grant)).collect(),
            Err(problems) => return Ok(problems),
        },
    };
    let requested = package.manifest.requests.iter().filter_map(|name| Effect::find(name));
    Ok(requested.filter_map(|info| refused(package, info, &grants)).collect())
}

/// Why an effect is refused on everything, if it is.
fn refused(package: &Package, info: &Info, grants: &[Value]) -> Option<Problem> {
    let about = |grant: &&Value| {
        let name = field(grant, "runbook");
        let effects = list(grant, "effects");
        let named = |effect: &Value| effect == info.name || effect == info.class.name();
        (name.is_empty() || name == package.name) && (effects.is_empty() || effects.iter().any(named))
    };
    let mut applying = grants.iter().filter(about);
    let everything =
        |grant: &Value| field(grant, "resource") == "anything" || field(grant, "resource") == "any container";
    let forbid = grants.iter().filter(about).find(|grant| grant["kind"] == "forbid" && everything(grant));
    let (message, help) = if let Some(forbid) = forbid {
        let place = format!("{}:{}", field(forbid, "file"), field(forbid, "line"));
        (format!("`{}` is forbidden by policy, on anything", info.name), format!("see {place}"))
    } else if info.class == Class::Mutate && !applying.any(|grant| grant["kind"] == "permit") {
        let grant = format!("sandbook grant {} {} --container NAME", package.name, info.name);
        (format!("no policy permits `{}` for {}", info.name, package.name), grant)
    } else {
        return None;
    };
    let (file, line, column) = package.use_of(info.name);
    Some(Problem { code: REFUSED, file, line, column, message, help, warning: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::Upload;

    const SCRIPT: &str = "//! name = \"r\"\n//! version = \"1.0.0\"\n//! summary = \"x\"\n//! [requests]\n\
        //! effects = [\"docker.stop-container\", \"docker.inspect-container\"]\n\
        fn run(input) {\n    docker::stop_container(\"x\");\n    docker::inspect_container(\"x\");\n    done(\"x\")\n}\n";

    fn found(grants: &[Value]) -> Vec<String> {
        let upload = Upload::Bytes { bytes: SCRIPT.as_bytes(), content_type: Some("text/x-rhai") };
        let (package, _) = Package::read(upload).expect("a package");
        let requested = package.manifest.requests.iter().filter_map(|name| Effect::find(name));
        requested
            .filter_map(|info| refused(&package, info, grants))
            .map(|one| format!("{one} | {}", one.help))
            .collect()
    }

    #[test]
    fn what_policy_never_permits_is_said_where_it_is_called() {
        let missing = "main.rhai:7:5: no policy permits `docker.stop-container` for r | \
                       sandbook grant r docker.stop-container --container NAME";
        assert_eq!(found(&[]), [missing]);
        let other =
            json!({"runbook": "s", "effects": ["docker.stop-container"], "resource": "anything", "kind": "permit"});
        assert_eq!(found(&[other]), [missing]);
        let permit = json!({"runbook": null, "effects": ["mutate"], "resource": "web-*", "kind": "permit"});
        assert_eq!(found(std::slice::from_ref(&permit)), [""; 0]);
        let some = json!({"runbook": "r", "effects": [], "resource": "db-*", "kind": "forbid", "file": "p", "line": 3});
        assert_eq!(found(&[permit.clone(), some.clone()]), [""; 0], "on some containers only");
        let all = json!({"runbook": "r", "effects": ["observe"], "resource": "anything", "kind": "forbid", "file": "p", "line": 3});
        let forbidden = "main.rhai:8:5: `docker.inspect-container` is forbidden by policy, on anything | see p:3";
        assert_eq!(found(&[permit, all]), [forbidden]);
    }
}
