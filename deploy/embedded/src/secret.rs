//! The secret that signs tokens in development: random, made once, kept beside the database. So nobody who has read the source can
//! forge a token, and a restart does not log anybody out.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ingest_service::Secret;
use shared::number_lease::random_key;

const FILE: &str = "jwt-secret";
/// Hexadecimal digits of 32 random bytes.
const CHARACTERS: usize = 64;

/// The secret in `directory`; a new one when there is none. The directory must be this process's own.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn of(directory: &Path) -> io::Result<Secret> {
    let path = directory.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() == CHARACTERS => return Ok(Secret::new(text.trim())),
        Ok(_) => return Err(io::Error::other(format!("{} is damaged; remove it", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let key = random_key().map_err(io::Error::other)?;
    let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    // Written aside and renamed, so that a crash leaves the whole secret or none.
    let aside = path.with_extension("new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(aside, path)?;
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_secret_is_made_once_and_for_its_owner_only() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = of(directory.path()).expect("made");
        assert!(first == of(directory.path()).expect("read"), "the same after a restart");
        let mode = std::fs::metadata(directory.path().join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = tempfile::tempdir().expect("a directory");
        assert!(first != of(other.path()).expect("made"));
        std::fs::write(other.path().join(FILE), "short").expect("written");
        assert!(of(other.path()).is_err(), "a damaged secret is not replaced behind the owner's back");
    }
}
