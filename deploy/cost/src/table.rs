//! The table in `docs/instructions.md`: read, written, and held against what was counted.

use std::fmt;

use crate::callgrind::Count;

/// By how many hundredths a count may differ from the table. Below that are other versions of the C library and of its parts for a
/// processor; the same program on the same machine differs by less than one in a thousand.
pub const TOLERANCE_PERCENT: u64 = 10;
/// Instructions that may come or go in any step: in which folder a checkout lies, and so in which order the linker puts things, is a dozen of them in the smallest.
const TOLERANCE_INSTRUCTIONS: u64 = 100;

const HEAD: &str = "| step | form | instructions | allocations |";
const RULE: &str = "|---|---|---:|---:|";

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What is done.
    pub step: String,
    /// With what.
    pub form: String,
    /// What one event costs in it.
    pub count: Count,
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { instructions, allocations } = self.count;
        write!(formatter, "| {} | {} | {} | {} |", self.step, self.form, grouped(instructions), decimal(allocations))
    }
}

/// A number with a comma before each three digits.
fn grouped(number: u64) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", grouped(number / 1000), number % 1000) }
}

/// A number of hundredths, with a point.
fn decimal(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// The lines of the table in `document`.
///
/// # Errors
/// There is no table, or a line that is none of ours.
pub fn read(document: &str) -> Result<Vec<Line>, String> {
    let mut lines = document.lines().skip_while(|line| *line != HEAD).skip(1);
    if lines.next() != Some(RULE) {
        return Err(format!("there is no table that begins with {HEAD}"));
    }
    let table = lines.take_while(|line| line.starts_with('|'));
    table.map(|line| read_line(line).ok_or_else(|| format!("what is {line:?}?"))).collect()
}

fn read_line(line: &str) -> Option<Line> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let [step, form, instructions, allocations] = cells.try_into().ok()?;
    let number = |text: &str| text.replace([',', '.'], "").parse().ok();
    let count = Count { instructions: number(instructions)?, allocations: number(allocations)? };
    Some(Line { step: step.to_owned(), form: form.to_owned(), count })
}

/// `document` with `lines` for its table.
///
/// # Errors
/// There is no table in it.
pub fn write(document: &str, lines: &[Line]) -> Result<String, String> {
    read(document)?;
    let (before, table) = document.split_at(document.find(HEAD).unwrap_or_default());
    let behind = table.find("\n\n").map_or("", |end| &table[end + 1..]);
    let rows: String = lines.iter().map(|line| format!("{line}\n")).collect();
    Ok(format!("{before}{HEAD}\n{RULE}\n{rows}{behind}"))
}

/// Where what was counted is not what the table says, in sentences.
#[must_use]
pub fn differences(table: &[Line], counted: &[Line]) -> Vec<String> {
    let known = |lines: &[Line], line: &Line| {
        lines.iter().find(|known| (&known.step, &known.form) == (&line.step, &line.form)).map(|known| known.count)
    };
    let mut differences = Vec::new();
    for line in counted {
        let name = format!("{} ({})", line.step, line.form);
        let Some(count) = known(table, line) else {
            differences.push(format!("{name} is not in the table"));
            continue;
        };
        let columns = [
            (
                "instructions",
                grouped as fn(u64) -> String,
                count.instructions,
                line.count.instructions,
                TOLERANCE_INSTRUCTIONS,
            ),
            ("allocations", decimal, count.allocations, line.count.allocations, 0),
        ];
        for (what, shown, listed, now, always) in columns {
            if now.abs_diff(listed) > always.max(listed * TOLERANCE_PERCENT / 100) {
                let way = if now > listed { "costs more" } else { "costs less, and the table does not say so" };
                differences.push(format!("{name} {way}: {} {what}, {} in the table", shown(now), shown(listed)));
            }
        }
    }
    let gone = table.iter().filter(|line| known(counted, line).is_none());
    differences.extend(gone.map(|line| format!("{} ({}) is in the table and not counted", line.step, line.form)));
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: &str, instructions: u64, allocations: u64) -> Line {
        let count = Count { instructions, allocations };
        Line { step: step.to_owned(), form: "strict".to_owned(), count }
    }

    fn document(lines: &[Line]) -> String {
        write(&format!("# Title\n\nText.\n\n{HEAD}\n{RULE}\n\nMore.\n"), lines).expect("a table")
    }

    #[test]
    fn a_table_that_was_written_is_read_back_and_the_text_around_it_stays() {
        let lines = [line("decode", 1_234_567, 1_205), line("decide", 999, 7)];
        let document = document(&lines);
        assert_eq!(read(&document), Ok(lines.to_vec()));
        assert!(document.contains("| decode | strict | 1,234,567 | 12.05 |\n"), "{document}");
        assert!(document.starts_with("# Title\n\nText.\n\n|") && document.ends_with("|\n\nMore.\n"), "{document}");
    }

    #[test]
    fn a_document_without_the_table_is_no_empty_table() {
        assert!(read("# Title\n").is_err());
        assert!(read(&format!("{HEAD}\n{RULE}\n| decode | strict | many | 1.00 |\n")).is_err());
    }

    #[test]
    fn a_tenth_more_passes_and_a_little_above_does_not() {
        let table = [line("decode", 1_000, 1_000)];
        assert!(differences(&table, &[line("decode", 1_100, 1_100)]).is_empty());
        assert_eq!(differences(&table, &[line("decode", 1_101, 1_100)]).len(), 1);
        assert_eq!(differences(&table, &[line("decode", 1_000, 1_101)]).len(), 1);
        let small = [line("row", 300, 100)];
        assert!(differences(&small, &[line("row", 400, 100)]).is_empty(), "a few instructions are nothing");
        assert_eq!(differences(&small, &[line("row", 300, 200)]).len(), 1, "one allocation more is much");
    }

    #[test]
    fn a_table_that_is_better_than_it_says_has_to_say_so() {
        let table = [line("decode", 1_000, 1_000)];
        assert!(differences(&table, &[line("decode", 900, 1_000)]).is_empty());
        assert_eq!(differences(&table, &[line("decode", 899, 1_000)]).len(), 1);
    }

    #[test]
    fn a_step_stands_in_both_or_is_told() {
        let (one, other) = ([line("decode", 1, 1)], [line("decide", 1, 1)]);
        assert_eq!(differences(&one, &other).len(), 2);
    }
}
