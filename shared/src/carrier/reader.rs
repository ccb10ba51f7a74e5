//! Reads the members of a TOML file and remembers everything that is wrong with them, by line.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{CarrierFile, MappingProblem};

/// Most problems that are named of one file: who sees so many begins with the first.
const PROBLEMS: usize = 100;

/// A file that is being read.
pub(super) struct Reader<'a> {
    file: &'a CarrierFile,
    problems: Vec<MappingProblem>,
}

/// A text and where it stands.
pub(super) struct Placed<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    /// Begins to read `file`.
    pub(super) fn of(file: &'a CarrierFile) -> Self {
        Self { file, problems: Vec::new() }
    }

    /// The line, from 1, of a byte of the file.
    pub(super) fn line(&self, at: usize) -> usize {
        let before = self.file.text.as_bytes().get(..at).unwrap_or_default();
        before.iter().filter(|&&byte| byte == b'\n').count() + 1
    }

    /// Remembers that something is wrong at a byte of the file.
    pub(super) fn problem(&mut self, at: usize, what: impl Into<String>) {
        let line = Some(self.line(at));
        self.problems.push(MappingProblem { file: self.file.name.clone(), line, what: what.into() });
    }

    /// Whether nothing was wrong so far.
    pub(super) fn is_well(&self) -> bool {
        self.problems.is_empty()
    }

    /// Everything that was wrong, in the order of the file.
    pub(super) fn into_problems(mut self) -> Vec<MappingProblem> {
        self.problems.sort_by_key(|problem| problem.line);
        self.problems.truncate(PROBLEMS);
        self.problems
    }

    /// Refuses members that nobody knows: a misspelled one would silently not count.
    pub(super) fn refuse_unknown(&mut self, table: &DeTable<'_>, known: &[&str]) {
        for name in table.keys().filter(|name| !known.contains(&name.get_ref().as_ref())) {
            let what = format!("unknown member {:?}; known are {}", name.get_ref(), known.join(", "));
            self.problem(name.span().start, what);
        }
    }

    /// The text of a member that is there; one of another type is a problem.
    pub(super) fn text<'t>(&mut self, table: &'t DeTable<'_>, name: &str) -> Option<Placed<'t>> {
        let (_, value) = member(table, name)?;
        self.as_text(value, name)
    }

    /// The texts of a member that is one text or a list of them; empty when it is not there.
    pub(super) fn texts<'t>(&mut self, table: &'t DeTable<'_>, name: &str) -> Vec<Placed<'t>> {
        let Some((_, value)) = member(table, name) else { return Vec::new() };
        match value.get_ref() {
            DeValue::Array(values) if values.is_empty() => {
                self.problem(value.span().start, format!("{name} is an empty list"));
                Vec::new()
            }
            DeValue::Array(values) => values.iter().filter_map(|value| self.as_text(value, name)).collect(),
            _ => self.as_text(value, name).into_iter().collect(),
        }
    }

    fn as_text<'t>(&mut self, value: &'t Spanned<DeValue<'_>>, name: &str) -> Option<Placed<'t>> {
        let at = value.span().start;
        match value.get_ref() {
            DeValue::String(text) if text.trim().is_empty() => {
                self.problem(at, format!("{name} is empty"));
                None
            }
            DeValue::String(text) => Some(Placed { text, at }),
            other => {
                self.problem(at, format!("{name} must be text in quotes, not {}", with_article(other.type_str())));
                None
            }
        }
    }

    /// The tables of a member that is a list of tables, each with the place where it begins.
    pub(super) fn tables<'t, 'i>(&mut self, table: &'t DeTable<'i>, name: &str) -> Vec<(&'t DeTable<'i>, usize)> {
        let Some((key, value)) = member(table, name) else { return Vec::new() };
        let Some(values) = value.get_ref().as_array() else {
            self.problem(key.span().start, format!("{name} must be written [[{name}]], once for each"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for value in values.iter() {
            match value.get_ref().as_table() {
                Some(table) => tables.push((table, value.span().start)),
                None => self.problem(value.span().start, format!("{name} must be a list of tables")),
            }
        }
        tables
    }
}

/// Where a member's name stands, when it is there.
pub(super) fn place(table: &DeTable<'_>, name: &str) -> Option<usize> {
    let span: Range<usize> = member(table, name)?.0.span();
    Some(span.start)
}

type Member<'t, 'i> = (&'t Spanned<toml::de::DeString<'i>>, &'t Spanned<DeValue<'i>>);

fn member<'t, 'i>(table: &'t DeTable<'i>, name: &str) -> Option<Member<'t, 'i>> {
    table.iter().find(|(key, _)| key.get_ref() == name)
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {kind}")
}
