//! A mapping file. Everything that is wrong with it is found at once, and named by its line.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use regex::Regex;
use toml::de::DeTable;

use super::reader::{Placed, Reader, place};
use super::rule::{Condition, PATTERN, Rule, Rules, code_pattern, folded_text, plain_code, text_pattern};
use super::time::TimeFormat;
use super::zone::Zone;
use super::{CarrierFile, CarrierMapping, FILE_BYTES, MappingProblem};
use crate::shipment::{Claim, Kind, Status, limits};

/// Most rules of one carrier: the largest published lists of codes have some hundreds.
const RULES: usize = 2_000;
/// Most patterns of one carrier: each is held against every scan that no rule for its code reads.
const PATTERNS: usize = 100;
/// Most pairs of a code and a text that all rules name together.
const PAIRS: usize = 10_000;
/// Most forms of times of one carrier.
const FORMATS: usize = 10;

/// Reads `file`, which must be about the carrier `stem`.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn parse(file: &CarrierFile, stem: &str) -> Result<CarrierMapping, Vec<MappingProblem>> {
    let mut reader = Reader::of(file);
    if file.text.len() > FILE_BYTES {
        reader.problem(0, format!("the file has {} bytes, more than {FILE_BYTES}", file.text.len()));
        return Err(reader.into_problems());
    }
    let (root, errors) = DeTable::parse_recoverable(&file.text);
    for error in errors {
        reader.problem(error.span().map_or(0, |span| span.start), format!("no TOML: {}", error.message()));
    }
    if !reader.is_well() {
        return Err(reader.into_problems());
    }
    let root = root.get_ref();
    reader.refuse_unknown(root, &["carrier", "zone", "time_formats", "rule"]);
    let carrier = carrier(&mut reader, root, stem);
    let zone = zone(&mut reader, root);
    let formats = formats(&mut reader, root);
    let rules = RuleReader::read_all(&mut reader, root);
    if !reader.is_well() {
        return Err(reader.into_problems());
    }
    Ok(CarrierMapping { carrier, file: file.name.clone(), zone, formats, rules: Rules::of(rules) })
}

fn carrier(reader: &mut Reader<'_>, root: &DeTable<'_>, stem: &str) -> String {
    let Some(Placed { text, at }) = reader.text(root, "carrier") else {
        if place(root, "carrier").is_none() {
            reader.problem(0, format!("carrier is missing; it is the name of the file: {stem:?}"));
        }
        return String::new();
    };
    if !is_slug(text) {
        reader.problem(at, format!("carrier {}", not_a_slug(text)));
    } else if text != stem {
        reader.problem(at, format!("the carrier is {text:?} and the file is {stem}.toml; they must have one name"));
    }
    text.to_owned()
}

fn zone(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<Zone> {
    let Placed { text, at } = reader.text(root, "zone")?;
    match Zone::named(text) {
        Ok(zone) => Some(zone),
        Err(error) => {
            reader.problem(at, format!("zone {text:?} {error}"));
            None
        }
    }
}

fn formats(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Vec<TimeFormat> {
    let texts = reader.texts(root, "time_formats");
    if texts.len() > FORMATS {
        reader.problem(place(root, "time_formats").unwrap_or(0), format!("more than {FORMATS} time_formats"));
    }
    let mut formats = Vec::new();
    for Placed { text, at } in texts {
        match TimeFormat::checked(text) {
            Ok(format) => formats.push(format),
            Err(why) => reader.problem(at, format!("the time format {text:?} does not work: {why}")),
        }
    }
    formats
}

/// Reads rules one after the other.
struct RuleReader<'r, 'a> {
    reader: &'r mut Reader<'a>,
    /// The line of each pair of conditions.
    seen: HashMap<(Key, Key), usize>,
    patterns: usize,
}

/// What a rule asks of one thing, to be compared with what another rule asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Anything,
    Value(String),
    Pattern(String),
}

/// What a rule asks of one thing, and where it stands.
struct Asked {
    condition: Option<Condition>,
    keys: Vec<(Key, usize)>,
}

impl<'r, 'a> RuleReader<'r, 'a> {
    fn read_all(reader: &'r mut Reader<'a>, root: &DeTable<'_>) -> Vec<Rule> {
        let tables = reader.tables(root, "rule");
        match tables.len() {
            0 if place(root, "rule").is_none() => reader.problem(0, "there is no [[rule]]"),
            count if count > RULES => {
                reader.problem(0, format!("there are {count} rules, more than {RULES}"));
                return Vec::new();
            }
            _ => {}
        }
        let mut rules = RuleReader { reader, seen: HashMap::new(), patterns: 0 };
        tables.into_iter().filter_map(|(table, at)| rules.read(table, at)).collect()
    }

    fn read(&mut self, table: &DeTable<'_>, at: usize) -> Option<Rule> {
        const KNOWN: [&str; 7] = ["code", "code_pattern", "text", "text_pattern", "status", "kind", "reason"];
        self.reader.refuse_unknown(table, &KNOWN);
        let code = self.condition(table, at, &CODE);
        let text = self.condition(table, at, &TEXT);
        if KNOWN[..4].iter().all(|name| place(table, name).is_none()) {
            self.reader.problem(at, "a rule needs a code, a code_pattern, a text or a text_pattern");
        }
        self.refuse_repeated(&code, &text);
        let claim = self.claim(table, at);
        let reason = self.reason(table);
        Some(Rule { code: code.condition, text: text.condition, claim: claim?, reason })
    }

    fn condition(&mut self, table: &DeTable<'_>, at: usize, about: &About) -> Asked {
        let values = self.reader.texts(table, about.value);
        let pattern = self.reader.text(table, about.pattern);
        match pattern {
            None if values.is_empty() => Asked { condition: None, keys: vec![(Key::Anything, at)] },
            None => self.one_of(values, about),
            Some(pattern) if values.is_empty() => self.fits(&pattern, about),
            Some(pattern) => {
                let what = format!("a rule has a {} or a {}, not both", about.value, about.pattern);
                self.reader.problem(pattern.at, what);
                Asked { condition: None, keys: Vec::new() }
            }
        }
    }

    fn one_of(&mut self, values: Vec<Placed<'_>>, about: &About) -> Asked {
        let mut keys = Vec::new();
        for Placed { text, at } in values {
            let value = (about.compared)(text);
            if value.chars().count() > about.longest {
                let what = format!("a {} has at most {} characters", about.value, about.longest);
                self.reader.problem(at, what);
            } else {
                keys.push((Key::Value(value), at));
            }
        }
        let value = |(key, _): &(Key, usize)| if let Key::Value(value) = key { value.clone() } else { String::new() };
        Asked { condition: Some(Condition::OneOf(keys.iter().map(value).collect())), keys }
    }

    fn fits(&mut self, pattern: &Placed<'_>, about: &About) -> Asked {
        let &Placed { text, at } = pattern;
        self.patterns += 1;
        if self.patterns == PATTERNS + 1 {
            self.reader.problem(at, format!("there are more than {PATTERNS} patterns"));
        }
        if text.chars().count() > PATTERN {
            self.reader.problem(at, format!("a pattern has at most {PATTERN} characters"));
            return Asked { condition: None, keys: Vec::new() };
        }
        let keys = vec![(Key::Pattern(text.to_owned()), at)];
        match (about.compiled)(text) {
            Ok(pattern) => Asked { condition: Some(Condition::Fits(pattern)), keys },
            Err(why) => {
                self.reader.problem(at, format!("the pattern {text:?} is wrong: {why}"));
                Asked { condition: None, keys }
            }
        }
    }

    /// Of two rules that ask for the same, the second would never be asked.
    fn refuse_repeated(&mut self, code: &Asked, text: &Asked) {
        let anything = |asked: &Asked| asked.keys.iter().all(|(key, _)| *key == Key::Anything);
        if anything(code) && anything(text) {
            return;
        }
        if self.seen.len() + code.keys.len() * text.keys.len() > PAIRS {
            let at = code.keys.first().map_or(0, |&(_, at)| at);
            self.reader.problem(at, format!("there are more than {PAIRS} pairs of a code and a text"));
            return;
        }
        for (code_key, code_at) in &code.keys {
            for (text_key, text_at) in &text.keys {
                let at = if *code_key == Key::Anything { *text_at } else { *code_at };
                let line = self.reader.line(at);
                match self.seen.entry((code_key.clone(), text_key.clone())) {
                    Entry::Vacant(entry) => _ = entry.insert(line),
                    Entry::Occupied(first) => {
                        let what = format!("{} has a rule already, in line {}", Pair(code_key, text_key), first.get());
                        self.reader.problem(at, what);
                    }
                }
            }
        }
    }

    fn claim(&mut self, table: &DeTable<'_>, at: usize) -> Option<Claim> {
        let (status, kind) = (place(table, "status"), place(table, "kind"));
        match (status, kind) {
            (Some(_), Some(kind)) => {
                self.reader.problem(kind, "a rule has a status or a kind, not both");
                None
            }
            (None, None) => {
                self.reader.problem(at, "a rule needs a status or a kind");
                None
            }
            (Some(_), None) => self.status(table).map(Claim::Status),
            (None, Some(_)) => self.kind(table).map(Claim::Kind),
        }
    }

    fn status(&mut self, table: &DeTable<'_>) -> Option<Status> {
        let Placed { text, at } = self.reader.text(table, "status")?;
        let reported = || Status::ALL.iter().copied().filter(|&status| status != Status::Created);
        let status = reported().find(|status| status.as_str() == text);
        if status.is_none() {
            let words: Vec<_> = reported().map(Status::as_str).collect();
            let why = if text == Status::Created.as_str() { "no scan creates a shipment" } else { "unknown status" };
            self.reader.problem(at, format!("status {text:?}: {why}; it is one of {}", words.join(", ")));
        }
        status
    }

    fn kind(&mut self, table: &DeTable<'_>) -> Option<Kind> {
        let Placed { text, at } = self.reader.text(table, "kind")?;
        let kind = Kind::from_word(text);
        if kind.is_none() {
            let words: Vec<_> = Kind::ALL.iter().copied().map(Kind::as_str).collect();
            self.reader.problem(at, format!("kind {text:?}: unknown kind; it is one of {}", words.join(", ")));
        }
        kind
    }

    fn reason(&mut self, table: &DeTable<'_>) -> Option<String> {
        let Placed { text, at } = self.reader.text(table, "reason")?;
        if !is_slug(text) {
            self.reader.problem(at, format!("reason {}", not_a_slug(text)));
        }
        Some(text.to_owned())
    }
}

/// How a condition is written, and how what it asks is compared.
struct About {
    value: &'static str,
    pattern: &'static str,
    longest: usize,
    compared: fn(&str) -> String,
    compiled: fn(&str) -> Result<Regex, String>,
}

const CODE: About = About {
    value: "code",
    pattern: "code_pattern",
    longest: limits::CARRIER_CODE,
    compared: |code| plain_code(code).to_owned(),
    compiled: code_pattern,
};
const TEXT: About = About {
    value: "text",
    pattern: "text_pattern",
    longest: limits::CARRIER_TEXT,
    compared: folded_text,
    compiled: text_pattern,
};

/// A pair of conditions as a message names it.
struct Pair<'k>(&'k Key, &'k Key);

impl fmt::Display for Pair<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |key: &Key, name: &str| match key {
            Key::Anything => None,
            Key::Value(value) => Some(format!("the {name} {value:?}")),
            Key::Pattern(pattern) => Some(format!("the {name}_pattern {pattern:?}")),
        };
        let named: Vec<_> = of(self.0, "code").into_iter().chain(of(self.1, "text")).collect();
        formatter.write_str(&named.join(" with "))
    }
}

fn is_slug(text: &str) -> bool {
    let fits = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    fits && !text.is_empty() && text.len() <= limits::SLUG
}

fn not_a_slug(text: &str) -> String {
    format!("{text:?} is no slug: 1 to {} characters a-z, 0-9, _ and -", limits::SLUG)
}
