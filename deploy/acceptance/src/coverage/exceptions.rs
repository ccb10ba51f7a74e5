//! The statements that no test holds, or none wholly.

/// Why a statement is excepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It names, explains or gives reasons, and promises nothing.
    Explains,
    /// Tests hold some of what it promises.
    Partly,
    /// It promises something, and no test would fail if it were not so.
    NotYet,
}

/// The headings of the lists.
const LISTS: [(&str, Kind); 3] =
    [("[explains]", Kind::Explains), ("[partly held]", Kind::Partly), ("[not held yet]", Kind::NotYet)];

/// A statement, and why it is excepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exception {
    pub(super) kind: Kind,
    /// Words that stand in this statement only.
    pub(super) words: String,
    pub(super) reason: String,
    /// Line of the file, from 1.
    pub(super) line: usize,
}

/// Reads the lists, lines of the form `"words": reason` under their headings, and says what is wrong with which line.
pub(super) fn read(text: &str) -> (Vec<Exception>, Vec<String>) {
    let (mut exceptions, mut problems, mut kind) = (Vec::new(), Vec::new(), None);
    for (text, line) in text.lines().zip(1..) {
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if let Some((_, named)) = LISTS.iter().find(|(heading, _)| *heading == text) {
            kind = Some(*named);
            continue;
        }
        let parts = text.strip_prefix('"').and_then(|rest| rest.split_once("\": "));
        match (kind, parts) {
            (Some(kind), Some((words, reason))) if !words.is_empty() && !reason.trim().is_empty() => {
                exceptions.push(Exception { kind, words: words.to_owned(), reason: reason.trim().to_owned(), line });
            }
            _ => problems.push(format!("{line}: neither a heading nor \"words\": reason under one")),
        }
    }
    (exceptions, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_a_list_or_a_reason_is_refused_by_its_number() {
        let text =
            "# why\n\"too early\": x\n[explains]\n\"a\": b: c\n\n[others]\n\"d\":\n[not held yet]\n\"e\": f\n\"\": g\n";
        let (exceptions, problems) = read(text);
        let read: Vec<_> = exceptions.iter().map(|read| (read.kind, &*read.words, &*read.reason, read.line)).collect();
        assert_eq!(read, [(Kind::Explains, "a", "b: c", 4), (Kind::NotYet, "e", "f", 9)]);
        let lines: Vec<_> = problems.iter().filter_map(|problem| problem.split(':').next()).collect();
        assert_eq!(lines, ["2", "6", "7", "10"]);
    }
}
