//! The tests that claim to hold a statement.

use std::path::Path;

/// How a claim begins.
const MARK: &str = "// contract:";
/// Where promises become a test for each mode.
const CONTRACT_TESTS: &str = "deploy/acceptance/tests/contract/";
/// The file that lists them.
const PROMISES: &str = "deploy/acceptance/tests/contract/main.rs";

/// A file of Rust.
#[derive(Debug)]
pub struct Source {
    /// From the folder that was searched, with `/`.
    pub path: String,
    /// What stands in it.
    pub text: String,
}

/// A test and the words of the statement that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) words: String,
    pub(super) path: String,
    pub(super) test: String,
    /// What the test stands on, and in which modes it runs.
    pub(super) level: &'static str,
    pub(super) line: usize,
}

impl Claim {
    /// `path:line`.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.path, self.line)
    }
}

/// Every source in `root` and the folders in it, by path.
///
/// # Panics
/// A folder or file cannot be read.
#[must_use]
pub fn sources(root: &Path) -> Vec<Source> {
    let (mut sources, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                sources.push(Source { path, text });
            }
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
}

/// Every claim, and what is wrong with those that are none.
pub(super) fn read(sources: &[Source]) -> (Vec<Claim>, Vec<String>) {
    let (mut claims, mut problems) = (Vec::new(), Vec::new());
    for source in sources {
        let lines: Vec<_> = source.text.lines().map(str::trim).collect();
        for (index, text) in lines.iter().enumerate().filter(|(_, line)| line.starts_with(MARK)) {
            let place = format!("{}:{}", source.path, index + 1);
            let words = text[MARK.len()..].trim().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            let Some(words) = words.filter(|words| !words.is_empty()) else {
                problems.push(format!("{place}: a claim quotes the contract: {MARK} \"words\""));
                continue;
            };
            match test_below(&lines[index..]).and_then(|test| Some((test.name, level(source, &test, sources)?))) {
                Some((test, level)) => {
                    let (words, test, path) = (words.to_owned(), test.to_owned(), source.path.clone());
                    claims.push(Claim { words, path, test, level, line: index + 1 });
                }
                None => problems.push(format!("{place}: what stands below is no test that runs")),
            }
        }
    }
    (claims, problems)
}

struct Below<'a> {
    name: &'a str,
    attributes: Vec<&'a str>,
}

/// The function below a claim, with nothing but comments and attributes between.
fn test_below<'a>(lines: &[&'a str]) -> Option<Below<'a>> {
    let between = |line: &&&str| line.starts_with("//") || line.starts_with("#[");
    let attributes: Vec<_> = lines.iter().take_while(between).copied().filter(|line| line.starts_with("#[")).collect();
    let (before, behind) = lines.iter().find(|line| !between(line))?.split_once("fn ")?;
    let a_function =
        before.split_whitespace().all(|word| word.starts_with("pub") || matches!(word, "async" | "super)"));
    let end = behind.find(|character: char| !character.is_alphanumeric() && character != '_')?;
    a_function.then_some(Below { name: &behind[..end], attributes })
}

/// What a test stands on; nothing for what no one runs.
fn level(source: &Source, below: &Below<'_>, sources: &[Source]) -> Option<&'static str> {
    let (path, name) = (source.path.as_str(), below.name);
    let has = |beginning: &str| below.attributes.iter().any(|attribute| attribute.starts_with(beginning));
    if has("#[ignore") {
        return None;
    }
    if !has("#[test]") && !has("#[tokio::test") {
        let of_contract = path.starts_with(CONTRACT_TESTS);
        return if of_contract { promise(path, name, sources) } else { part(path, name, sources) };
    }
    let levels = [
        (CONTRACT_TESTS, "acceptance"),
        ("deploy/acceptance/tests/deployment/", "acceptance"),
        ("deploy/acceptance/tests/faults/", "faults, pair"),
        ("deploy/embedded/tests/restarts/", "faults, embedded"),
        ("deploy/chaos/tests/short/pair.rs", "faults, pair"),
        ("deploy/chaos/tests/short/embedded.rs", "faults, embedded"),
        ("ingest-service/tests/promises/", "promises"),
        ("processor-service/tests/pipeline/", "pipeline"),
        ("deploy/sim/", "simulation"),
        ("deploy/play/", "play"),
    ];
    let level = levels.iter().find(|(folder, _)| path.starts_with(folder)).map(|(_, level)| *level);
    let of_an_adapter = ["/kafka/", "/mongo/", "/mongo.rs", "/redis/", "/redis.rs", "/sqlite/", "/sqlite.rs"];
    let of_no_folder = || if of_an_adapter.iter().any(|part| path.contains(part)) { "adapter" } else { "unit" };
    Some(level.unwrap_or_else(of_no_folder))
}

/// In which modes a promise of the acceptance tests runs, by the list there: `area { promise, … }` within `both { … }` or `pair { … }`.
fn promise(path: &str, name: &str, sources: &[Source]) -> Option<&'static str> {
    let area = path.strip_prefix(CONTRACT_TESTS)?.strip_suffix(".rs")?;
    let (_, list) = sources.iter().find(|source| source.path == PROMISES)?.text.split_once("promises! {")?;
    let (mut modes, mut here) = (None, "");
    for line in list.lines().map(str::trim) {
        match line.strip_suffix(" {") {
            Some("both") => modes = Some("acceptance, both"),
            Some("pair") => modes = Some("acceptance, pair"),
            Some(other) => here = other,
            None if here == area && line.split(',').any(|promise| promise.trim() == name) => return modes,
            None => {}
        }
    }
    None
}

/// A part of a port's conformance suite, when the suite or an adapter's test calls it.
fn part(path: &str, name: &str, sources: &[Source]) -> Option<&'static str> {
    let port = &path[..path.find("/conformance")?];
    let mut of_port = sources.iter().filter(|source| source.path.starts_with(port));
    of_port.any(|source| is_called(&source.text, name)).then_some("conformance")
}

/// Whether `text` calls `name`, or names it by its path.
fn is_called(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(start, _)| {
        let (before, behind) = (&text[..start], &text[start + name.len()..]);
        let word = |character: char| character.is_alphanumeric() || character == '_';
        let whole = !before.ends_with(word) && !behind.starts_with(word);
        whole && !before.ends_with("fn ") && (behind.starts_with('(') || before.ends_with("::"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "promises! {\n    both {\n        area {\n            in_both,\n            also,\n        }\n    }\n    pair {\n        log {\n            on_kafka,\n        }\n    }\n}\n";

    /// The level of the function that `text` ends with, below a claim.
    fn level_of(path: &str, text: &str) -> Result<(String, &'static str), String> {
        let text = format!("// {}: \"words\"\n{text}", "contract");
        let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let suite = "async fn run() { kept(writer).await }";
        let sources =
            [source(path, &text), source(PROMISES, LIST), source("shared/src/port/conformance/mod.rs", suite)];
        let (claims, problems) = read(&sources);
        claims.into_iter().next().map(|claim| (claim.test, claim.level)).ok_or_else(|| problems.concat())
    }

    #[test]
    fn a_claim_stands_above_a_test() {
        let unit = level_of("shared/src/a.rs", "/// Why.\n#[test]\n#[cfg(unix)]\npub(crate) fn it_holds() {");
        assert_eq!(unit, Ok(("it_holds".to_owned(), "unit")));
        let adapter = level_of("shared/src/a/sqlite/tests.rs", "#[tokio::test(flavor = \"x\")]\nasync fn it_holds() {");
        assert_eq!(adapter, Ok(("it_holds".to_owned(), "adapter")));
        let promises = level_of("ingest-service/tests/promises/a.rs", "#[tokio::test]\nasync fn it_holds() {");
        assert_eq!(promises, Ok(("it_holds".to_owned(), "promises")));
        for nothing in
            ["fn it_holds() {", "#[test]\n#[ignore]\nfn it_holds() {", "#[test]\n\nfn it_holds() {", "const A: u8 = 1;"]
        {
            let refused = "shared/src/a.rs:1: what stands below is no test that runs";
            assert_eq!(level_of("shared/src/a.rs", nothing), Err(refused.to_owned()), "{nothing}");
        }
    }

    #[test]
    fn a_promise_is_in_the_list_and_the_list_says_the_modes() {
        let of = |area: &str, name: &str| {
            let path = format!("deploy/acceptance/tests/contract/{area}.rs");
            level_of(&path, &format!("pub(crate) async fn {name}(platform: &Platform) {{")).map(|found| found.1)
        };
        assert_eq!((of("area", "in_both"), of("log", "on_kafka")), (Ok("acceptance, both"), Ok("acceptance, pair")));
        assert!(of("area", "on_kafka").is_err() && of("area", "forgotten").is_err());
    }

    #[test]
    fn a_part_of_a_conformance_suite_is_called() {
        let of =
            |name: &str| level_of("shared/src/port/conformance/states.rs", &format!("async fn {name}(writer: &W) {{"));
        assert_eq!(of("kept").map(|found| found.1), Ok("conformance"));
        assert!(of("forgotten").is_err());
    }

    #[test]
    fn a_claim_that_quotes_nothing_is_refused() {
        for claim in ["// contract: no quotes", "// contract: \"\"", "// contract:"] {
            let source =
                Source { path: "a.rs".to_owned(), text: format!("fn a() {{}}\n    {claim}\n#[test]\nfn b() {{") };
            let (claims, problems) = read(&[source]);
            assert!(claims.is_empty() && problems.len() == 1 && problems[0].starts_with("a.rs:2: "), "{problems:?}");
        }
    }
}
