//! `docs/contract-coverage.md`.

use std::collections::BTreeSet;

use super::contract::Statement;
use super::exceptions::Kind;
use super::{Claim, Coverage};

/// Characters of a statement that are shown: enough to find it, and a table that can be read.
const SHOWN: usize = 220;

const HEAD: &str = "# Which test holds which statement of the contract

Made by `make contract-coverage`; a test fails when it is out of date. It maps each sentence of sections 1 to 8 of
[the contract](contract.md) (a row of a table: each of its cells) to the tests that would fail if it were not so. A test
claims a statement by quoting it in a line right above it, `// contract: \"words that stand in this statement only\"`; what
no test holds, or none wholly, stands with its reason in [contract-exceptions.txt](contract-exceptions.txt).

What a test stands on: *unit*: a function; *conformance*: each adapter of a port, the memory ones included; *adapter*: one of
them; *promises*: the HTTP edge on the memory adapters; *pipeline*: the processor on them; *simulation*: its lane under seeded
faults, against a model; *acceptance, both*: the real programs over HTTP, embedded and as a pair on real servers;
*acceptance, pair*: the pair alone; *faults*: the same, while something breaks; *play*: real parcel histories, against a
second model.
";

impl Coverage {
    /// The table, as a page of Markdown.
    #[must_use]
    pub fn table(&self) -> String {
        let mut page = format!("{HEAD}\n{}", self.summary());
        for section in &self.sections {
            page += &format!("\n## {}\n\n| | statement | held by |\n|---|---|---|\n", section.heading);
            for statement in &section.statements {
                page += &format!("| {} | {} | {} |\n", statement.id, shown(&statement.text), self.holders(statement));
            }
        }
        page
    }

    fn summary(&self) -> String {
        let ids = |kind| {
            let of_kind = |statement: &&Statement| self.excepted.get(&statement.id).map(|found| found.kind) == kind;
            self.statements().filter(of_kind).map(|statement| statement.id.as_str()).collect::<Vec<_>>()
        };
        let (held, partly) = (ids(None), ids(Some(Kind::Partly)));
        let (not_yet, explaining) = (ids(Some(Kind::NotYet)), ids(Some(Kind::Explains)));
        let explain = if explaining.len() == 1 { "explains and promises" } else { "explain and promise" };
        let list = |ids: Vec<&str>| if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
        format!(
            "{} statements: {} held, {} held in part, {} not held yet, {} that {explain} nothing.\n\nHeld in part: {}\n\nNot held yet: {}\n",
            self.statements().count(),
            held.len(),
            partly.len(),
            not_yet.len(),
            explaining.len(),
            list(partly),
            list(not_yet)
        )
    }

    fn holders(&self, statement: &Statement) -> String {
        let claims = self.held.get(&statement.id).map(Vec::as_slice).unwrap_or_default();
        // By name, each once: a test may quote two places of one statement.
        let mut holders: Vec<String> = claims.iter().map(holder).collect::<BTreeSet<_>>().into_iter().collect();
        if let Some(exception) = self.excepted.get(&statement.id) {
            let reason = exception.reason.replace('|', "\\|");
            holders.push(match exception.kind {
                Kind::Explains => format!("explains: {reason}"),
                Kind::Partly => format!("**missing**: {reason}"),
                Kind::NotYet => format!("**not held yet**: {reason}"),
            });
        }
        holders.join("<br>")
    }
}

fn holder(claim: &Claim) -> String {
    let Claim { path, test, level, .. } = claim;
    // A suite's parts have short names: what they are about is the port.
    let port = path
        .split_once("/conformance")
        .filter(|_| *level == "conformance")
        .map(|(port, _)| port.rsplit('/').next().unwrap_or_default());
    let name = port.map_or_else(|| test.clone(), |port| format!("{port}: {test}"));
    format!("[`{name}`](../{path}) ({level})")
}

/// The beginning of a statement, as the text of a cell.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown = shown.trim_end().to_owned() + "…";
    }
    if shown.matches('`').count() % 2 == 1 {
        shown += "`";
    }
    if shown.matches("**").count() % 2 == 1 {
        shown += "**";
    }
    shown.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_suite_is_named_with_its_port() {
        let claim = |path: &str, test: &str, level| {
            let (words, path, test) = (String::new(), path.to_owned(), test.to_owned());
            holder(&Claim { words, path, test, level, line: 1 })
        };
        let part = claim("shared/src/user_store/conformance.rs", "run", "conformance");
        assert_eq!(part, "[`user_store: run`](../shared/src/user_store/conformance.rs) (conformance)");
        let test = claim("shared/src/clock.rs", "it_ticks", "unit");
        assert_eq!(test, "[`it_ticks`](../shared/src/clock.rs) (unit)");
    }

    #[test]
    fn a_long_statement_is_cut_and_a_cell_stays_a_cell() {
        assert_eq!(shown("a | `b|c`"), "a \\| `b\\|c`");
        let long = format!("says `{}` and more", "ñ".repeat(SHOWN));
        let cut = shown(&long);
        assert_eq!(cut.chars().count(), SHOWN + 2);
        assert!(cut.ends_with("ñ…`"), "{cut}");
    }
}
