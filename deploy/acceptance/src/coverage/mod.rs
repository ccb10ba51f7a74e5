//! Which test holds which statement of `docs/contract.md`.
//!
//! A test claims a statement in a comment line right above it, by words that stand in that statement and in no other:
//!
//! ```text
//! // contract: "sending the same event again returns the same id"
//! #[tokio::test]
//! async fn the_same_event_has_the_same_id_however_it_is_spelled() {
//! ```
//!
//! So a claim breaks when the contract is worded anew, and whoever does that reads the test. What no test holds, or none wholly, and
//! what promises nothing, stands in `docs/contract-exceptions.txt` with its reason. [`Coverage::of`] reads all three and says everything
//! that does not fit; [`Coverage::table`] is `docs/contract-coverage.md`.

mod claims;
mod contract;
mod exceptions;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use claims::Claim;
pub use claims::{Source, sources};
use contract::{Section, Statement};
use exceptions::{Exception, Kind};

/// The contract, from the root of the repository.
const CONTRACT: &str = "docs/contract.md";
/// What no test holds.
const EXCEPTIONS: &str = "docs/contract-exceptions.txt";
/// The table that is generated.
pub const TABLE: &str = "docs/contract-coverage.md";

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    let below = Path::new(env!("CARGO_MANIFEST_DIR"));
    below.ancestors().nth(2).unwrap_or(below).to_owned()
}

/// The contract's statements with what holds each.
#[derive(Debug)]
pub struct Coverage {
    sections: Vec<Section>,
    /// By the id of the statement.
    held: BTreeMap<String, Vec<Claim>>,
    excepted: BTreeMap<String, Exception>,
}

impl Coverage {
    /// Reads the contract, the exceptions and every source of the repository at `root`.
    ///
    /// # Errors
    /// One line for each thing that does not fit: a claim or an exception whose words stand in no statement or in several, a claim above
    /// something that no test runs, a statement that nothing accounts for or that is accounted for twice.
    ///
    /// # Panics
    /// A file cannot be read.
    pub fn of(root: &Path) -> Result<Self, Vec<String>> {
        let read =
            |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self::from_texts(&read(CONTRACT), &read(EXCEPTIONS), &claims::sources(root))
    }

    fn from_texts(contract: &str, exceptions: &str, sources: &[Source]) -> Result<Self, Vec<String>> {
        let mut coverage =
            Self { sections: contract::read(contract), held: BTreeMap::new(), excepted: BTreeMap::new() };
        let mut problems = Vec::new();
        let (claims, wrong) = claims::read(sources);
        problems.extend(wrong);
        for claim in claims {
            match coverage.only_one_with(&claim.words) {
                Ok(id) => coverage.held.entry(id).or_default().push(claim),
                Err(problem) => problems.push(format!("{}: {problem}", claim.place())),
            }
        }
        let (exceptions, wrong) = exceptions::read(exceptions);
        problems.extend(wrong.into_iter().map(|problem| format!("{EXCEPTIONS}:{problem}")));
        for exception in exceptions {
            let place = format!("{EXCEPTIONS}:{}", exception.line);
            match coverage.only_one_with(&exception.words) {
                Err(problem) => problems.push(format!("{place}: {problem}")),
                Ok(id) => {
                    if let Some(other) = coverage.excepted.insert(id.clone(), exception) {
                        problems.push(format!("{place}: {id} stands in line {} already", other.line));
                    }
                }
            }
        }
        problems.extend(coverage.statements().filter_map(|statement| coverage.problem_of(statement)));
        if problems.is_empty() { Ok(coverage) } else { Err(problems) }
    }

    fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.sections.iter().flat_map(|section| &section.statements)
    }

    /// The id of the statement with these words.
    fn only_one_with(&self, words: &str) -> Result<String, String> {
        let found: Vec<_> = self.statements().filter(|statement| statement.text.contains(words)).collect();
        match found.as_slice() {
            [one] => Ok(one.id.clone()),
            [] => Err(format!("no statement of the contract has the words \"{words}\"")),
            several => {
                let ids: Vec<_> = several.iter().map(|statement| statement.id.as_str()).collect();
                Err(format!("\"{words}\" stands in {}: quote more", ids.join(", ")))
            }
        }
    }

    fn problem_of(&self, statement: &Statement) -> Option<String> {
        let tests = self.held.get(&statement.id).map(Vec::as_slice).unwrap_or_default();
        let Some(exception) = self.excepted.get(&statement.id) else {
            let Statement { id, text, .. } = statement;
            return tests
                .is_empty()
                .then(|| format!("{id} is held by no test and stands in no list of {EXCEPTIONS}: {text}"));
        };
        let place = format!("{EXCEPTIONS}:{}: {}", exception.line, statement.id);
        match (exception.kind, tests) {
            (Kind::Partly, []) => Some(format!("{place} is not held at all")),
            (Kind::Explains | Kind::NotYet, [test, ..]) => {
                Some(format!("{place} is claimed by {}: take it off this list", test.place()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTRACT: &str =
        "## 1. Words\nA word is a word. A number is a number; it is even.\n## 2. More\n- It sings.\n";

    fn a_test(claims: &[&str]) -> Source {
        let claims: String = claims.iter().map(|words| format!("// {}: \"{words}\"\n", "contract")).collect();
        Source { path: "shared/src/word.rs".to_owned(), text: format!("{claims}#[test]\nfn it_is_so() {{\n") }
    }

    fn problems(exceptions: &str, claims: &[&str]) -> Vec<String> {
        Coverage::from_texts(CONTRACT, exceptions, &[a_test(claims)]).expect_err("something does not fit")
    }

    const EXCEPTIONS: &str =
        "[explains]\n\"A word\": a name\n[partly held]\n\"it is even\": not of 0\n[not held yet]\n\"It sings\": soon\n";

    #[test]
    fn every_statement_is_held_or_accounted_for() {
        let claims = ["A number is", "it is even"];
        let table = Coverage::from_texts(CONTRACT, EXCEPTIONS, &[a_test(&claims)]).expect("all fits").table();
        for line in [
            "4 statements: 1 held, 1 held in part, 1 not held yet, 1 that explains and promises nothing.",
            "Not held yet: 2.1",
            "| 1.1 | A word is a word. | explains: a name |",
            "| 1.2 | A number is a number; | [`it_is_so`](../shared/src/word.rs) (unit) |",
            "| 1.3 | it is even. | [`it_is_so`](../shared/src/word.rs) (unit)<br>**missing**: not of 0 |",
            "| 2.1 | It sings. | **not held yet**: soon |",
        ] {
            assert!(table.contains(line), "{line} is not in\n{table}");
        }
    }

    #[test]
    fn a_statement_that_nothing_accounts_for_is_named() {
        let problems =
            problems("[explains]\n\"A word\": a name\n[not held yet]\n\"It sings\": soon\n", &["A number is"]);
        assert!(problems.len() == 1 && problems[0].starts_with("1.3 is held by no test"), "{problems:?}");
    }

    #[test]
    fn words_that_stand_nowhere_or_twice_are_refused_where_they_are_quoted() {
        let found = problems(EXCEPTIONS, &["A number is", "it is even", "it is odd"]);
        assert_eq!(found, ["shared/src/word.rs:3: no statement of the contract has the words \"it is odd\""]);
        let found = problems(EXCEPTIONS, &["A number is", "it is even", "is a"]);
        assert_eq!(found, ["shared/src/word.rs:3: \"is a\" stands in 1.1, 1.2: quote more"]);
        let found = problems(&format!("{EXCEPTIONS}\"It dances\": never\n"), &["A number is", "it is even"]);
        assert_eq!(found, ["docs/contract-exceptions.txt:7: no statement of the contract has the words \"It dances\""]);
    }

    #[test]
    fn what_is_held_now_leaves_the_list_of_what_is_not() {
        let found = problems(EXCEPTIONS, &["A number is", "it is even", "It sings"]);
        assert!(found[0].contains(":6: 2.1 is claimed by shared/src/word.rs:3"), "{found:?}");
        let found = problems(EXCEPTIONS, &["A number is"]);
        assert_eq!(found, ["docs/contract-exceptions.txt:4: 1.3 is not held at all"]);
        let found = problems(&format!("{EXCEPTIONS}\"sings\": twice\n"), &["A number is", "it is even"]);
        assert_eq!(found, ["docs/contract-exceptions.txt:7: 2.1 stands in line 6 already"]);
    }
}
