//! The carriers' vocabularies as this process holds them: read at the start, read again when an operator says so, all or nothing. The
//! vocabularies themselves are pure and stand in `shared::carrier`; here is where their files come from.
//!
//! A reload is this process's own: each instance of the service is told for itself (a signal to each, or a rollout).

mod files;
mod list;
mod reload;
mod tally;
mod unmapped;

pub(crate) use list::{CarrierList, list_carriers};
pub(crate) use reload::{Reloaded, post_reload};
pub(crate) use unmapped::{DEFAULT_LIMIT, MOST, UnmappedList, list_unmapped};

pub use reload::reload_on_hangup;
pub use tally::UnmappedTally;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use shared::carrier::{CarrierSet, MappingProblem};
use shared::shipment::Timestamp;
use tokio::sync::watch;

use files::Origin;

/// Mapping files that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", list_of(.0))]
pub struct BrokenMappings(pub Vec<MappingProblem>);

/// On one line, because a program that does not start says why in one.
fn list_of(problems: &[MappingProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What is loaded, and what became of the last attempt.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) set: Arc<CarrierSet>,
    /// When it was read; `None` until a clock was looked at.
    pub(crate) read_at: Option<Timestamp>,
    /// Whether the last attempt to read it again failed, so that an older set goes on.
    pub(crate) refused: bool,
}

/// The carriers of this process. Clones are the same ones.
#[derive(Clone)]
pub struct Carriers(Arc<Parts>);

struct Parts {
    origin: Origin,
    loaded: watch::Sender<Loaded>,
    /// One reload at a time: the later of two must not be overtaken by the earlier.
    reloading: Mutex<()>,
}

impl fmt::Debug for Carriers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Carriers({})", self.0.origin)
    }
}

impl Carriers {
    /// The mappings of `directory`; without one, those of `./carriers` when there is such a directory, else those that are compiled in.
    /// Reads files.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn load(directory: Option<PathBuf>) -> Result<Self, BrokenMappings> {
        let origin = Origin::of(directory);
        let set = Arc::new(CarrierSet::parse(&origin.files()?).map_err(BrokenMappings)?);
        let (loaded, _) = watch::channel(Loaded { set, read_at: None, refused: false });
        Ok(Self(Arc::new(Parts { origin, loaded, reloading: Mutex::new(()) })))
    }

    /// The carriers as they are now. Whoever works on one request asks once.
    pub(crate) fn current(&self) -> Arc<CarrierSet> {
        self.0.loaded.borrow().set.clone()
    }

    /// What is loaded.
    pub(crate) fn loaded(&self) -> Loaded {
        self.0.loaded.borrow().clone()
    }

    /// Where the files come from, in words.
    pub(crate) fn origin(&self) -> String {
        self.0.origin.to_string()
    }

    /// Notes when the first set was read.
    pub(crate) fn started(&self, now: Timestamp) {
        self.0.loaded.send_modify(|loaded| _ = loaded.read_at.get_or_insert(now));
    }

    /// Reads the files again: all of them are used, or none. Blocks.
    ///
    /// # Errors
    /// What is wrong with them; the set that was loaded before goes on.
    pub(crate) fn reload(&self, now: Timestamp) -> Result<Arc<CarrierSet>, BrokenMappings> {
        let _one = self.0.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let read = self.0.origin.files().and_then(|files| CarrierSet::parse(&files).map_err(BrokenMappings));
        match read {
            Ok(set) => {
                let set = Arc::new(set);
                self.0.loaded.send_replace(Loaded { set: set.clone(), read_at: Some(now), refused: false });
                Ok(set)
            }
            Err(broken) => {
                self.0.loaded.send_modify(|loaded| loaded.refused = true);
                Err(broken)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const WELL: &str = "carrier = \"andes\"\n[[rule]]\ncode = \"A\"\nstatus = \"delivered\"\n";

    fn write(directory: &Path, name: &str, text: &str) {
        std::fs::write(directory.join(name), text).expect("a temporary file can be written");
    }

    fn names(carriers: &Carriers) -> Vec<String> {
        carriers.current().iter().map(|mapping| mapping.carrier().to_owned()).collect()
    }

    #[test]
    fn without_a_setting_the_shipped_carriers_are_there() {
        let carriers = Carriers::load(None).expect("well");
        assert!(names(&carriers).contains(&"fedex".to_owned()));
        assert_eq!(carriers.origin(), "compiled in");
    }

    #[test]
    fn a_directory_holds_one_file_for_each_carrier_and_whatever_else() {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path(), "andes.toml", WELL);
        write(directory.path(), "README.md", "how we map");
        write(directory.path(), ".#andes.toml", "an editor's own");
        write(directory.path(), "andes.toml~", "an older one");
        let carriers = Carriers::load(Some(directory.path().to_owned())).expect("well");
        assert_eq!(names(&carriers), ["andes"]);
    }

    #[test]
    fn a_broken_set_does_not_replace_a_whole_one_and_says_all_that_is_wrong() {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path(), "andes.toml", WELL);
        let carriers = Carriers::load(Some(directory.path().to_owned())).expect("well");
        let (first, second) = (Timestamp::from_millis(1_000), Timestamp::from_millis(2_000));
        carriers.started(first);
        write(directory.path(), "pampa.toml", &WELL.replace("delivered", "lost"));
        write(directory.path(), "puna.toml", "carrier = ");
        let broken = carriers.reload(second).expect_err("broken").to_string();
        assert!(broken.contains("pampa.toml:1: ") && broken.contains("pampa.toml:4: "), "{broken}");
        assert!(broken.contains("puna.toml:1: ") && !broken.contains('\n'), "{broken}");
        assert_eq!((names(&carriers), carriers.loaded().refused), (vec!["andes".to_owned()], true));
        assert_eq!(carriers.loaded().read_at, Some(first));

        write(directory.path(), "pampa.toml", &WELL.replace("andes", "pampa"));
        std::fs::remove_file(directory.path().join("puna.toml")).expect("removed");
        carriers.reload(second).expect("well");
        assert_eq!(
            (names(&carriers), carriers.loaded().refused),
            (vec!["andes".to_owned(), "pampa".to_owned()], false)
        );
        assert_eq!(carriers.loaded().read_at, Some(second));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let problem = |path: &Path| Carriers::load(Some(path.to_owned())).expect_err("refused").to_string();
        let nowhere = directory.path().join("nowhere");
        assert!(problem(&nowhere).starts_with(&format!("{}: ", nowhere.display())), "{}", problem(&nowhere));
        assert!(problem(directory.path()).contains("holds no file"), "{}", problem(directory.path()));
        std::fs::write(directory.path().join("andes.toml"), [b'#', 0xFF]).expect("written");
        assert!(problem(directory.path()).contains("andes.toml: is not UTF-8"), "{}", problem(directory.path()));
        std::fs::write(directory.path().join("andes.toml"), vec![b'#'; 300_000]).expect("written");
        assert!(problem(directory.path()).contains("andes.toml: has more than"), "{}", problem(directory.path()));
    }
}
