//! The same variables in the code, `.env.example`, `docker-compose.yml`, the image, the manifests and what people read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use acceptance::coverage;

/// The variables that the contract names.
const CONTRACT: [&str; 16] = [
    "PORT",
    "ENV",
    "MONGO_URI",
    "MONGO_DB",
    "REDIS_ADDR",
    "REDIS_DB",
    "KAFKA_BROKERS",
    "KAFKA_TOPIC",
    "KAFKA_PARTITIONS",
    "KAFKA_GROUP",
    "JWT_SECRET",
    "LOG_LEVEL",
    "DEDUP_TTL_SECONDS",
    "MAX_BATCH",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "DATA_DIR",
];
/// What every deployment of the pair must say: defaults are those of one machine.
const SAID: [&str; 7] = ["ENV", "KAFKA_BROKERS", "KAFKA_PARTITIONS", "MONGO_URI", "REDIS_ADDR", "JWT_SECRET", "PORT"];
/// Words of the same form that are no settings of the programs: what the build, the tests and `make` read, and other programs' own.
const OTHERS: [&str; 6] =
    ["RASTRO_TEST_SERVERS", "SOURCE_DATE_EPOCH", "ARGS", "AT_LEAST", "CARGO_TARGET_DIR", "RUST_LOG"];
/// Beginnings of the names of settings: a word that begins otherwise is an error code or an outcome.
const FAMILIES: [&str; 12] = [
    "KAFKA_",
    "MONGO_",
    "REDIS_",
    "JWT_",
    "LOG_",
    "DEDUP_",
    "RATE_",
    "OTEL_",
    "TRANSITION_",
    "DLQ_",
    "TRUSTED_",
    "PROXY_",
];

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below `folder` with this ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let found = paths.flat_map(|path| match path.is_dir() {
        true => files(&path, ending),
        false => vec![path],
    });
    found.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

/// Functions of the code that are handed the name of a variable: their calls up to the quotation mark.
const ASKING: [&str; 1] = ["(environment, \""];

/// The variables that `text` asks its environment for, by their names or by constants of the same file.
fn asked_for(text: &str) -> BTreeSet<String> {
    let calls = ["text(", "text_or(", "secret(", "number(", "flag(", "choice("];
    let on = ["environment.", "self."];
    let asked = on.iter().flat_map(|on| text.match_indices(on)).filter_map(|(at, on)| {
        let call = &text[at + on.len()..];
        let argument = calls.iter().find_map(|name| call.strip_prefix(name))?.split([',', ')']).next()?.trim();
        let name = argument.strip_prefix('"').and_then(|name| name.strip_suffix('"')).or_else(|| {
            let (_, value) = text.split_once(&format!("const {argument}: &str = \""))?;
            value.split('"').next()
        })?;
        // A secret may stand in a file instead.
        let in_a_file = call.starts_with("secret(").then(|| format!("{name}_FILE"));
        Some([Some(name.to_owned()), in_a_file])
    });
    let handed = ASKING.iter().flat_map(|call| text.match_indices(call).map(|(at, call)| &text[at + call.len()..]));
    let handed = handed.filter_map(|rest| rest.split('"').next()).map(str::to_owned);
    asked.flatten().flatten().chain(handed).collect()
}

/// Every variable that a program reads.
fn asked() -> BTreeSet<String> {
    let mut asked = BTreeSet::new();
    for folder in ["shared/src", "ingest-service/src", "processor-service/src", "deploy/embedded/src"] {
        for source in coverage::sources(&coverage::root().join(folder)) {
            let program = source.text.split("#[cfg(test)]").next().unwrap_or_default();
            asked.extend(asked_for(program));
        }
    }
    asked
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
}

/// The names that stand before one of `signs` in a line, behind what YAML, a Dockerfile and a comment may put before them.
fn given(text: &str, signs: &[char]) -> BTreeSet<String> {
    let before = |piece: &str| piece.rsplit([' ', '{', '"', '`', ',']).next().unwrap_or_default().to_owned();
    let in_line = |line: &str| line.match_indices(signs).map(|(at, _)| before(&line[..at])).collect::<Vec<_>>();
    text.lines().flat_map(in_line).filter(|name| is_name(name)).collect()
}

/// The part of `docker-compose.yml` that is about our programs: the servers and observers behind it have variables of their own.
fn ours(compose: &str) -> &str {
    compose.split_once("\n  kafka:\n").expect("the servers stand behind our services").0
}

/// What the allocators read, and not the programs: mimalloc, and glibc's for librdkafka.
const ALLOCATORS: [&str; 3] = ["MALLOC_ARENA_MAX", "MIMALLOC_ARENA_EAGER_COMMIT", "MIMALLOC_PURGE_DELAY"];

#[track_caller]
fn known(place: &str, names: &BTreeSet<String>, asked: &BTreeSet<String>) {
    let unknown: Vec<_> = names.difference(asked).collect();
    assert!(unknown.is_empty(), "{place} names {unknown:?}, which no program reads");
}

#[track_caller]
fn says_all(place: &str, names: &BTreeSet<String>) {
    let missing: Vec<_> = SAID.iter().filter(|name| !names.contains(**name)).collect();
    assert!(missing.is_empty(), "{place} does not say {missing:?}");
}

// contract: "`.env.example` lists every one"
// contract: "`PORT, ENV development|production, MONGO_URI"
#[test]
fn the_example_of_the_environment_lists_every_variable_that_is_read_and_no_other() {
    let example = read(&coverage::root().join(".env.example"));
    let listed: BTreeSet<_> = example
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split_once('='))
        .map(|(name, _)| name.to_owned())
        .filter(|name| is_name(name))
        .collect();
    let asked = asked();
    for named in CONTRACT {
        assert!(asked.contains(named), "{named} is not among {asked:?}");
    }
    let unlisted: Vec<_> = asked.difference(&listed).collect();
    assert!(unlisted.is_empty(), "read, and not in .env.example: {unlisted:?}");
    known(".env.example", &listed, &asked);
}

#[test]
fn the_compose_file_and_the_image_set_what_the_programs_read() {
    let (root, asked) = (coverage::root(), asked());
    let compose = read(&root.join("docker-compose.yml"));
    let set = given(ours(&compose), &[':']);
    says_all("docker-compose.yml", &set);
    known("docker-compose.yml", &set, &asked);
    // Only what the programs see: arguments and the build's own variables stand in other stages.
    let image = read(&root.join("deploy/docker/Dockerfile"));
    let (_, runtime) = image.split_once(" AS runtime\n").expect("a stage of that name");
    let lines = runtime.lines().filter(|line| !line.starts_with("ARG ") && !line.starts_with('#'));
    let mut set = given(&lines.collect::<Vec<_>>().join("\n"), &['=']);
    assert!(set.contains("LISTEN_ADDRESS"), "{set:?}");
    for name in ALLOCATORS {
        assert!(set.remove(name), "the image does not say {name}");
    }
    known("the image", &set, &asked);
}

#[test]
fn the_manifests_set_what_the_programs_read() {
    let (root, asked) = (coverage::root(), asked());
    let mut set = given(&read(&root.join("k8s/base/settings.env")), &['=']);
    let secrets = read(&root.join("k8s/base/secrets.md"));
    let keys = secrets.lines().filter(|line| line.starts_with("| `rastro-")).flat_map(|line| line.split('`'));
    set.extend(keys.filter(|word| is_name(word)).map(str::to_owned));
    for path in files(&root.join("k8s"), ".yaml") {
        let text = read(&path);
        let literals = text.lines().filter_map(|line| line.trim_start().strip_prefix("- ")?.split_once('='));
        set.extend(literals.map(|(name, _)| name.to_owned()).filter(|name| is_name(name)));
        let variables = text.lines().filter_map(|line| line.trim_start().strip_prefix("- name: "));
        set.extend(variables.filter(|name| is_name(name)).map(str::to_owned));
    }
    says_all("k8s", &set);
    known("k8s", &set, &asked);
}

#[test]
fn what_people_read_names_no_variable_that_nobody_reads() {
    let (root, asked) = (coverage::root(), asked());
    let pages = ["README.md", "ARCHITECTURE.md", "docs/runbook.md", "docs/carriers.md", "SECURITY.md"];
    let pages = pages.iter().map(|page| root.join(page)).chain(files(&root.join("docs/runbook"), ".md"));
    for page in pages {
        let text = read(&page);
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let names = words.filter(|word| is_name(word) && FAMILIES.iter().any(|family| word.starts_with(family)));
        // `RATE_LIMIT_…` is all of a family.
        let names = names.filter(|name| !name.ends_with('_') && !OTHERS.contains(name));
        known(&page.display().to_string(), &names.map(str::to_owned).collect(), &asked);
    }
}

#[test]
fn a_variable_that_nobody_reads_would_be_found() {
    let compose = "x-settings: &settings\n  ENV: development\n  KAFKA_BROKER: kafka:9094\nservices:\n  kafka:\n    KAFKA_NODE_ID: 1\n";
    let set = given(ours(compose), &[':']);
    assert_eq!(set, BTreeSet::from(["ENV".to_owned(), "KAFKA_BROKER".to_owned()]));
    assert!(set.difference(&asked()).eq(["KAFKA_BROKER"]));
    assert_eq!(given("ENV LISTEN_ADDRESS=0.0.0.0 \\\n    LOG_FORMAT=json", &['=']).len(), 2);
    assert_eq!(given("environment: { <<: *settings, PORT: \"8080\" }", &[':']), BTreeSet::from(["PORT".to_owned()]));
}
