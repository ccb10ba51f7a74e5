//! The rules of one carrier: which one reads a scan.
//!
//! Of the rules that fit, the first in this order decides:
//! 1. those with the scan's very code *and* a condition on the text, in the order of the file;
//! 2. the one with the scan's very code alone;
//! 3. all others (patterns of codes, texts), in the order of the file.
//!
//! Codes are compared as they are, capitals and all, without the space around them. Texts are compared without regard to upper and lower
//! case, and every run of white space counts as one space. A pattern must fit the whole of what it is held against; `.*` stands for the rest.

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::Serialize;

use crate::shipment::{Claim, Kind};

/// Longest pattern, in characters: a sentence of a carrier's with some alternatives.
pub(super) const PATTERN: usize = 500;
/// Memory that a compiled pattern may take, in bytes. Patterns take time in proportion to the text and never more, whatever they are; this
/// bounds the proportion.
const COMPILED_BYTES: usize = 256 * 1024;

/// What a scan was read as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reading {
    /// The status or the kind.
    #[serde(flatten)]
    pub claim: Claim,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What sort of rule said so.
    pub rule: DecidedBy,
}

/// What sort of rule read a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// One that names a code or a pattern of codes, perhaps with a text.
    Code,
    /// One that names a text only.
    Text,
    /// No rule fits; the scan is of the kind `other`.
    None,
}

impl Reading {
    /// What a scan is that no rule fits.
    pub(super) fn unmapped() -> Self {
        Self { claim: Claim::Kind(Kind::Other), reason: None, rule: DecidedBy::None }
    }

    /// Whether a rule fitted.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        self.rule != DecidedBy::None
    }
}

/// What a rule asks of the code or of the text.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// One of these.
    OneOf(Vec<String>),
    /// The pattern fits.
    Fits(Regex),
}

impl Condition {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::OneOf(values) => values.iter().any(|known| known == value),
            Self::Fits(pattern) => pattern.is_match(value),
        }
    }
}

/// One rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// What it asks of the code. It asks something of the code or of the text.
    pub(super) code: Option<Condition>,
    /// What it asks of the text.
    pub(super) text: Option<Condition>,
    /// What the scan is then.
    pub(super) claim: Claim,
    /// Why.
    pub(super) reason: Option<String>,
}

impl Rule {
    fn fits(&self, code: Option<&str>, text: Option<&Text>) -> bool {
        let code_fits = match (&self.code, code) {
            (None, _) => true,
            (Some(condition), Some(code)) => condition.holds(code),
            (Some(_), None) => false,
        };
        code_fits && self.text_fits(text)
    }

    fn text_fits(&self, text: Option<&Text>) -> bool {
        match (&self.text, text) {
            (None, _) => true,
            (Some(Condition::OneOf(values)), Some(text)) => values.contains(&text.folded),
            (Some(Condition::Fits(pattern)), Some(text)) => pattern.is_match(&text.plain),
            (Some(_), None) => false,
        }
    }

    fn reading(&self) -> Reading {
        let rule = if self.code.is_some() { DecidedBy::Code } else { DecidedBy::Text };
        Reading { claim: self.claim, reason: self.reason.clone(), rule }
    }
}

/// A scan's text as rules see it.
struct Text {
    plain: String,
    folded: String,
}

impl Text {
    fn of(text: &str) -> Self {
        let plain = one_space(text);
        Self { folded: plain.to_lowercase(), plain }
    }
}

fn one_space(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A code as it is compared.
pub(super) fn plain_code(code: &str) -> &str {
    code.trim()
}

/// A text as it is compared.
pub(super) fn folded_text(text: &str) -> String {
    one_space(text).to_lowercase()
}

/// A pattern that fits the whole of a code.
///
/// # Errors
/// What is wrong with it.
pub(super) fn code_pattern(pattern: &str) -> Result<Regex, String> {
    whole(pattern, false)
}

/// A pattern that fits the whole of a text.
///
/// # Errors
/// What is wrong with it.
pub(super) fn text_pattern(pattern: &str) -> Result<Regex, String> {
    whole(pattern, true)
}

fn whole(pattern: &str, ignore_case: bool) -> Result<Regex, String> {
    let build = |pattern: &str| {
        let mut builder = RegexBuilder::new(pattern);
        builder.case_insensitive(ignore_case).size_limit(COMPILED_BYTES).dfa_size_limit(COMPILED_BYTES);
        builder.build().map_err(|error| explain(&error))
    };
    // On its own first: `a)|(b` must not become a pattern by what we put around it.
    build(pattern)?;
    build(&format!("^(?:{pattern})$"))
}

/// The last line of what the parser says; those before it draw the pattern.
fn explain(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => format!("it takes more than {limit} bytes when it is compiled"),
        error => {
            let said = error.to_string();
            let last = said.lines().last().unwrap_or_default();
            last.trim().trim_start_matches("error: ").to_owned()
        }
    }
}

/// All rules of one carrier.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    rules: Vec<Rule>,
    /// The rules that name a code, by it: those with a text first.
    by_code: HashMap<String, Vec<usize>>,
    /// All others, in the order of the file.
    others: Vec<usize>,
}

impl Rules {
    /// These rules, in the order of the file.
    pub(super) fn of(rules: Vec<Rule>) -> Self {
        let mut all = Self::default();
        for (index, rule) in rules.iter().enumerate() {
            match &rule.code {
                Some(Condition::OneOf(codes)) => {
                    for code in codes {
                        all.by_code.entry(code.clone()).or_default().push(index);
                    }
                }
                Some(Condition::Fits(_)) | None => all.others.push(index),
            }
        }
        for indexes in all.by_code.values_mut() {
            indexes.sort_by_key(|&index| (rules[index].text.is_none(), index));
        }
        all.rules = rules;
        all
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rules.len()
    }

    /// What a scan with this code and this text is.
    pub(super) fn read(&self, code: Option<&str>, text: Option<&str>) -> Reading {
        let (code, text) = (code.map(plain_code), text.map(Text::of));
        let exact = code.and_then(|code| self.by_code.get(code)).into_iter().flatten();
        let candidates = exact.chain(&self.others).filter_map(|&index| self.rules.get(index));
        let mut fitting = candidates.filter(|rule| rule.fits(code, text.as_ref()));
        fitting.next().map_or_else(Reading::unmapped, Rule::reading)
    }
}
