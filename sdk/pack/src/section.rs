//! Custom sections of a WebAssembly file, core module or component: found, added, removed at the top level.
//!
//! Fifty lines instead of a parser: a section is an id, a length and bytes, in both formats.

use anyhow::{Result, bail};

/// The hash of the sources, in hexadecimal.
pub const SOURCES: &str = "sandbook:sources";
/// The text of `runbook.toml`.
pub const MANIFEST: &str = "sandbook:manifest";

const CUSTOM: u8 = 0;
const HEADER: usize = 8;

/// The contents of the first custom section of that name.
pub fn find<'a>(wasm: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = wasm.get(HEADER..)?;
    while !rest.is_empty() {
        let (section, after) = next(rest)?;
        match custom(section) {
            Some((found, contents)) if found == name.as_bytes() => return Some(contents),
            _ => rest = after,
        }
    }
    None
}

/// Appends a custom section.
pub fn append(wasm: &mut Vec<u8>, name: &str, contents: &[u8]) {
    let mut body = Vec::with_capacity(name.len() + contents.len() + 5);
    length(&mut body, name.len());
    body.extend(name.as_bytes());
    body.extend(contents);
    wasm.push(CUSTOM);
    length(wasm, body.len());
    wasm.extend(body);
}

/// The file without the custom sections that `drop` names.
pub fn without(wasm: &[u8], drop: impl Fn(&str) -> bool) -> Result<Vec<u8>> {
    let Some((header, mut rest)) = wasm.split_at_checked(HEADER) else { bail!("not a WebAssembly file") };
    let mut kept = header.to_vec();
    while !rest.is_empty() {
        let Some((section, after)) = next(rest) else { bail!("a section is cut off") };
        let dropped = custom(section).is_some_and(|(name, _)| std::str::from_utf8(name).is_ok_and(&drop));
        if !dropped {
            kept.extend(&rest[..rest.len() - after.len()]);
        }
        rest = after;
    }
    Ok(kept)
}

struct Section<'a> {
    id: u8,
    body: &'a [u8],
}

fn next(bytes: &[u8]) -> Option<(Section<'_>, &[u8])> {
    let (id, rest) = bytes.split_first()?;
    let (size, rest) = leb(rest)?;
    let (body, after) = rest.split_at_checked(size)?;
    Some((Section { id: *id, body }, after))
}

fn custom<'a>(section: Section<'a>) -> Option<(&'a [u8], &'a [u8])> {
    if section.id != CUSTOM {
        return None;
    }
    let (size, rest) = leb(section.body)?;
    rest.split_at_checked(size)
}

/// An unsigned LEB128 number of at most 32 bits.
fn leb(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (position, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &bytes[position + 1..]));
        }
    }
    None
}

fn length(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_found_added_and_removed() {
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        append(&mut wasm, "name", &[7; 300]);
        append(&mut wasm, SOURCES, b"abc");
        assert_eq!(find(&wasm, SOURCES), Some(&b"abc"[..]));
        let stripped = without(&wasm, |name| name == "name").expect("a module");
        assert_eq!(find(&stripped, "name"), None);
        assert_eq!(find(&stripped, SOURCES), Some(&b"abc"[..]));
        assert!(without(&wasm[..50], |_| false).is_err());
    }
}
