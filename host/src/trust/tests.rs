//! Signatures that count, and each way one does not.

use minisign::KeyPair;

use super::*;

const DIGEST: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER: &str = "sha256:ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const T: u64 = 1_800_000_000_000;

fn pair() -> KeyPair {
    KeyPair::generate_unencrypted_keypair().expect("a key")
}

fn trusting(pair: &KeyPair, expires: Option<u64>) -> Trust {
    let mut trust = Trust::default();
    trust.add("dana", pair.pk.clone(), expires).expect("the first");
    trust
}

#[test]
fn a_signature_counts_or_says_why_not() {
    let (dana, eve) = (pair(), pair());
    let trust = trusting(&dana, Some(T));
    let id = id_of(dana.pk.keynum());
    let good = sign(&dana.sk, "nightly", "1.0.0", DIGEST).expect("signed");
    let trusted = Signed::Trusted { key: "dana".to_owned(), key_id: id.clone() };
    assert_eq!(trust.check(&good, DIGEST, T - 1), Ok(trusted));
    assert_eq!(key_id(&good), Ok(id.clone()));
    assert_eq!(trust.check(&good, DIGEST, T), Ok(Signed::Expired { key: "dana".to_owned(), key_id: id.clone() }));
    // Somebody else's key.
    let theirs = sign(&eve.sk, "nightly", "1.0.0", DIGEST).expect("signed");
    let unknown = Signed::UnknownKey { key_id: id_of(eve.pk.keynum()) };
    assert_eq!(trust.check(&theirs, DIGEST, T - 1), Ok(unknown.clone()));
    assert!(!unknown.is_trusted() && unknown.code() == UNKNOWN_KEY);
    // Of another package, which it says itself.
    let broken = trust.check(&good, OTHER, T - 1).expect_err("another digest");
    assert_eq!((broken.code(), broken.to_string().contains(OTHER)), (OTHER_DIGEST, true), "{broken}");
    // The same with the comment rewritten to this digest: the comment is signed as well.
    let forged = good.replace(DIGEST, OTHER);
    assert_eq!(trust.check(&forged, OTHER, T - 1).expect_err("forged").code(), TAMPERED);
    // A flipped bit of the signature.
    let mut lines: Vec<String> = good.lines().map(str::to_owned).collect();
    let at = 40;
    let other = if lines[1].as_bytes()[at] == b'A' { "B" } else { "A" };
    lines[1].replace_range(at..=at, other);
    assert_eq!(trust.check(&lines.join("\n"), DIGEST, T - 1).expect_err("flipped").code(), TAMPERED);
}

#[test]
fn what_is_no_signature_is_an_error_and_never_a_panic() {
    let good = sign(&pair().sk, "x", "1.0.0", DIGEST).expect("signed");
    let lines: Vec<&str> = good.lines().collect();
    for text in [
        String::new(),
        "untrusted comment: x".to_owned(),
        good[..good.len() / 2].to_owned(),
        [lines[0], lines[1], lines[2], "AAAA"].join("\n"),
        [lines[0], "AAAA", lines[2], lines[3]].join("\n"),
        [lines[0], lines[1], "no comment", lines[3]].join("\n"),
        ["no comment", lines[1], lines[2], lines[3]].join("\n"),
        format!("{good}{}", "x".repeat(TEXT_BYTES_MAX)),
    ] {
        let broken = Trust::default().check(&text, DIGEST, T).expect_err(&text);
        assert_eq!(broken.code(), UNREADABLE, "{text}: {broken}");
    }
}

#[test]
fn files_of_minisign_are_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = pair();
    let public = dir.path().join("key.pub");
    std::fs::write(&public, pair.pk.to_box().expect("boxed").into_string()).expect("written");
    let id = id_of(pair.pk.keynum());
    assert_eq!(id_of(public_key(&public).expect("read").keynum()), id);
    std::fs::write(&public, pair.pk.to_base64()).expect("written");
    assert_eq!(id_of(public_key(&public).expect("the line alone").keynum()), id);
    std::fs::write(&public, "hello\nworld").expect("written");
    assert!(public_key(&public).expect_err("no key").to_string().contains("no public key"));
    let locked = KeyPair::generate_encrypted_keypair(Some("horse".to_owned())).expect("a key");
    let secret = dir.path().join("key");
    std::fs::write(&secret, locked.sk.to_box(None).expect("boxed").into_string()).expect("written");
    assert!(secret_key(&secret, Some("horse".to_owned())).is_ok());
    assert!(secret_key(&secret, Some("cow".to_owned())).is_err() && secret_key(&secret, None).is_err());
    for (text, ok) in [("2027-01-31", true), ("2027-01-31T12:00:00Z", true), ("soon", false), ("31.1.2027", false)] {
        assert_eq!(expiry(text).is_ok(), ok, "{text}");
    }
}
