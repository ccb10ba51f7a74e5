//! Where mapping files come from.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use shared::carrier::{CarrierFile, FILE_BYTES, FILES, MappingProblem, shipped};

use super::BrokenMappings;

/// Where they are looked for when nobody says.
const DEFAULT_DIRECTORY: &str = "carriers";

/// Where they come from.
pub(super) enum Origin {
    /// The directory that was given.
    Given(PathBuf),
    /// `./carriers`, when it is there each time that we look, else what is compiled in.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.directory() {
            Some(directory) => write!(formatter, "{}", directory.display()),
            None => formatter.write_str("compiled in"),
        }
    }
}

impl Origin {
    pub(super) fn of(directory: Option<PathBuf>) -> Self {
        directory.map_or(Self::Default, Self::Given)
    }

    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Given(directory) => Some(directory),
            Self::Default => Some(Path::new(DEFAULT_DIRECTORY)).filter(|directory| directory.is_dir()),
        }
    }

    /// The files as they are now.
    ///
    /// # Errors
    /// Each that cannot be read.
    pub(super) fn files(&self) -> Result<Vec<CarrierFile>, BrokenMappings> {
        match self.directory() {
            Some(directory) => read_all(directory),
            None => Ok(shipped::files()),
        }
    }
}

fn problem(path: &Path, what: impl fmt::Display) -> MappingProblem {
    MappingProblem { file: path.display().to_string(), line: None, what: what.to_string() }
}

/// Every `*.toml` of `directory`, by name. What begins with a dot is an editor's or the file system's own.
fn read_all(directory: &Path) -> Result<Vec<CarrierFile>, BrokenMappings> {
    let refused = |what: &dyn fmt::Display| BrokenMappings(vec![problem(directory, what)]);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(|error| refused(&error))? {
        let name = entry.map_err(|error| refused(&error))?.file_name();
        let name = Path::new(&name);
        let is_hidden = name.to_string_lossy().starts_with('.');
        if !is_hidden && name.extension().is_some_and(|extension| extension == "toml") {
            paths.push(directory.join(name));
        }
    }
    match paths.len() {
        0 => return Err(refused(&"holds no file <carrier>.toml")),
        count if count > FILES => return Err(refused(&format!("holds {count} mapping files, more than {FILES}"))),
        _ => {}
    }
    paths.sort();
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        match read(&path) {
            Ok(text) => files.push(CarrierFile { name: path.display().to_string(), text }),
            Err(what) => problems.push(problem(&path, what)),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(BrokenMappings(problems)) }
}

fn read(path: &Path) -> Result<String, String> {
    let most = u64::try_from(FILE_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let reading = |error: io::Error| error.to_string();
    File::open(path).map_err(reading)?.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(reading)?;
    if bytes.len() > FILE_BYTES {
        return Err(format!("has more than {FILE_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}
