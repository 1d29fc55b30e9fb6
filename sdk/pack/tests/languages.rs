//! The generated files of the SDKs are those of the contract: an effect that is added is in every language, or this fails.

use std::path::Path;

#[test]
fn every_sdk_has_what_the_contract_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let stale = sandbook_pack::languages::stale(&root).expect("the contract is read");
    assert!(stale.is_empty(), "not as generated, run `sdk/guests.sh --generate`: {stale:#?}");
}
