//! Keys and signatures at a person's own desk; the secret key never leaves it.
//!
//! Deliberately not here: whose signature counts. The daemon's configuration says so.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use minisign::KeyPair;
use reqwest::Method;
use serde_json::json;

use super::act::version;
use super::args::{Global, KeysCommand, SignArgs};
use super::author::package_at;
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::screen::Screen;
use super::text::{clean, digest, field, shell};
use super::versions::signature;
use crate::library::SIGNATURE_FILE;
use crate::trust;

fn failed(error: impl std::fmt::Display, fix: &str) -> Failure {
    Failure::failed(error.to_string(), fix)
}

/// A password's file, without the line's end.
fn password(file: Option<&PathBuf>) -> Result<Option<String>, Failure> {
    let Some(file) = file else { return Ok(None) };
    let read = std::fs::read_to_string(file);
    let text = read.map_err(|error| failed(format!("{} cannot be read: {error}", file.display()), "check the path"))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    let written = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| {
        failed(format!("{} cannot be created: {error}", path.display()), "name a file that does not exist yet")
    })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn keys(screen: &Screen, command: &KeysCommand) -> Result<Exit, Failure> {
    match command {
        KeysCommand::New { file, password_file } => new(screen, file, password(password_file.as_ref())?),
        KeysCommand::Show { file } => {
            let fix = "name a public key, as `sandbook keys new` or minisign wrote it";
            let key = trust::public_key(file).map_err(|error| failed(format!("{}: {error:#}", file.display()), fix))?;
            let id = trust::id_of(key.keynum());
            if screen.json {
                screen.value(&json!({"key_id": id, "key": key.to_base64()}));
            } else {
                screen.line(&format!("{id}  {}", key.to_base64()));
            }
            Ok(Exit::Ok)
        }
    }
}

fn new(screen: &Screen, file: &Path, password: Option<String>) -> Result<Exit, Failure> {
    let locked = password.is_some();
    let pair = match password {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password)),
        None => KeyPair::generate_unencrypted_keypair(),
    };
    let pair = pair.map_err(|error| failed(format!("no key can be made: {error}"), ""))?;
    let secret = pair.sk.to_box(None).map_err(|error| failed(error, ""))?.into_string();
    let public_file = beside(file, ".pub");
    let id = trust::id_of(pair.pk.keynum());
    let public = format!("untrusted comment: minisign public key {id}\n{}\n", pair.pk.to_base64());
    write_new(&public_file, &public, 0o644)?;
    if let Err(failure) = write_new(file, &secret, 0o600) {
        let _ = std::fs::remove_file(&public_file);
        return Err(failure);
    }
    if screen.json {
        screen.value(&json!({"key_id": id, "secret": file, "public": public_file, "password": locked}));
        return Ok(Exit::Ok);
    }
    screen.line(&format!("key {id}"));
    screen.line(&format!(
        "  {}  secret{}",
        file.display(),
        if locked { "" } else { ", without a password: keep it off the daemon's machine" }
    ));
    screen.line(&format!("  {}  public", public_file.display()));
    screen.next(&format!("[trust.keys.NAME] file = \"{}\" in the daemon's configuration", public_file.display()));
    Ok(Exit::Ok)
}

pub(super) async fn sign(global: &Global, screen: &Screen, args: &SignArgs) -> Result<Exit, Failure> {
    let secret = trust::secret_key(&args.key, password(args.password_file.as_ref())?);
    let place = args.key.display();
    let key = secret.map_err(|error| {
        failed(format!("{place}: {error:#}"), "name the secret key, and --password-file if it has a password")
    })?;
    if args.what.contains('@') || !Path::new(&args.what).exists() {
        let client = Client::new(global)?;
        return stored(&client, screen, &args.what, &key).await;
    }
    let path = Path::new(&args.what);
    let Some(package) = package_at(screen, path)? else { return Ok(Exit::Failed) };
    let text =
        trust::sign(&key, &package.name, &package.version, &package.digest).map_err(|error| failed(error, ""))?;
    let file = if path.is_dir() { path.join(SIGNATURE_FILE) } else { beside(path, ".minisig") };
    std::fs::write(&file, &text)
        .map_err(|error| failed(format!("{} cannot be written: {error}", file.display()), "make it writable"))?;
    if screen.json {
        screen.value(&json!({"name": package.name, "digest": package.digest, "file": file}));
        return Ok(Exit::Ok);
    }
    let said = format!("{} {} {}", clean(&package.name), clean(&package.version), digest(&package.digest));
    screen.line(&format!("{said} is signed in {}", file.display()));
    screen.next(&format!("sandbook push {}", shell(&path.display().to_string())));
    Ok(Exit::Ok)
}

/// Signs a version that the daemon has: its digest is all that is needed.
async fn stored(client: &Client, screen: &Screen, words: &str, key: &minisign::SecretKey) -> Result<Exit, Failure> {
    let (name, of) = version(client, words).await?;
    let text = trust::sign(key, &name, "", &of).map_err(|error| failed(error, ""))?;
    let path = format!("/v1/runbooks/{}/signature", segment(&name));
    let answer = client.send(Method::PUT, &path, Some(&json!({"digest": of, "signature": text}))).await?;
    if screen.json {
        screen.value(&answer);
        return Ok(Exit::Ok);
    }
    screen.line(&format!("{} {}: {}", clean(&name), digest(&of), clean(&signature(&answer["signature"]))));
    screen.line(&format!("it may be {} at the most", clean(&field(&answer, "ceiling"))));
    screen.next(&format!("sandbook versions {}", shell(&name)));
    Ok(Exit::Ok)
}
