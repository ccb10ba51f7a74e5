//! Takes the files of Swagger UI that are served at `/swagger` out of the archive that their crate carries. An entry of the archive is
//! deflated, and so is what gzip holds: it becomes a gzip file with another head and foot, and nothing has to be unpacked, neither here nor
//! in the service, which sends it as it is.

use std::path::Path;

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED as ARCHIVE;

const FILES: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];
/// Signatures and sizes of the parts of an archive (PKWARE's APPNOTE, section 4.3).
const END: &[u8] = b"PK\x05\x06";
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;
/// How an entry is compressed: deflated.
const DEFLATED: usize = 8;
/// The head of a gzip file: deflated, no name, no time, no system (RFC 1952).
const GZIP_HEAD: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = std::env::var("OUT_DIR").expect("cargo names the folder");
    for file in FILES {
        let gzip = gzip_of(&format!("/dist/{file}")).unwrap_or_else(|| panic!("the archive has no {file}"));
        std::fs::write(Path::new(&out).join(format!("{file}.gz")), gzip).expect("cargo's folder can be written");
    }
}

fn number(at: usize, bytes: usize) -> Option<usize> {
    let digits = ARCHIVE.get(at..at + bytes)?;
    Some(digits.iter().rev().fold(0, |number, &digit| number << 8 | usize::from(digit)))
}

/// The entry whose path is one folder and then `end`, as a gzip file.
fn gzip_of(end: &str) -> Option<Vec<u8>> {
    let foot = ARCHIVE.windows(END.len()).rposition(|window| window == END)?;
    let mut at = number(foot + 16, 4)?;
    for _ in 0..number(foot + 10, 2)? {
        if ARCHIVE.get(at..at + ENTRY.len())? != ENTRY {
            return None;
        }
        let (name, extra, comment) = (number(at + 28, 2)?, number(at + 30, 2)?, number(at + 32, 2)?);
        let path = std::str::from_utf8(ARCHIVE.get(at + ENTRY_BYTES..at + ENTRY_BYTES + name)?).ok()?;
        if path.strip_suffix(end).is_some_and(|folder| !folder.contains('/')) {
            return wrapped(at);
        }
        at += ENTRY_BYTES + name + extra + comment;
    }
    None
}

fn wrapped(entry: usize) -> Option<Vec<u8>> {
    if number(entry + 10, 2)? != DEFLATED {
        return None;
    }
    let (length, local) = (number(entry + 20, 4)?, number(entry + 42, 4)?);
    let data = local + LOCAL_BYTES + number(local + 26, 2)? + number(local + 28, 2)?;
    // The foot is the checksum and the size of what is deflated; the archive has both, in the same form.
    let parts = [
        &GZIP_HEAD,
        ARCHIVE.get(data..data + length)?,
        ARCHIVE.get(entry + 16..entry + 20)?,
        ARCHIVE.get(entry + 24..entry + 28)?,
    ];
    Some(parts.concat())
}
