//! The contract, cut into statements.

/// A section: its heading and what it states.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// `## 4. REST API` without the hashes.
    pub(super) heading: String,
    pub(super) statements: Vec<Statement>,
}

/// One sentence, or one half of it, or one cell of a table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// Section and place in it, such as `4.17`.
    pub(super) id: String,
    /// In one line. What a cell says comes behind what its row is about: `` `GET /livez` | public ``.
    pub(super) text: String,
}

/// Cuts what stands under numbered headings (`## 4. …`), and in brackets in them: each row of a table into its cells, and each cell,
/// bullet and paragraph at the ends of sentences and at semicolons.
pub(super) fn read(markdown: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let (mut number, mut block) = (String::new(), String::new());
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        let heading = line.strip_prefix("## ");
        let row = line.strip_prefix("| ");
        if heading.is_some() || row.is_some() || line.is_empty() || line.starts_with("- ") {
            add(&mut sections, &number, pieces(&std::mem::take(&mut block)));
        }
        if let Some(heading) = heading {
            number = heading.split('.').next().unwrap_or_default().to_owned();
            sections.push(Section { heading: heading.to_owned(), statements: Vec::new() });
            let in_brackets = heading.split_once(" (").and_then(|(_, rest)| rest.strip_suffix(')'));
            add(&mut sections, &number, pieces(in_brackets.unwrap_or_default()));
        } else if let Some(row) = row {
            let of_a_head = lines.peek().is_some_and(|next| next.starts_with("|---"));
            if !of_a_head {
                add(&mut sections, &number, cells(row));
            }
        } else if !line.starts_with("|---") {
            let text = line.strip_prefix("- ").unwrap_or(line).trim();
            block = format!("{block} {text}").trim_start().to_owned();
        }
    }
    add(&mut sections, &number, pieces(&block));
    sections
}

fn add(sections: &mut [Section], number: &str, texts: Vec<String>) {
    // What stands above the first section states nothing.
    let Some(Section { statements, .. }) = sections.last_mut() else { return };
    for text in texts {
        statements.push(Statement { id: format!("{number}.{}", statements.len() + 1), text });
    }
}

/// What a row states: each piece of each cell behind the first, with what the row is about before it.
fn cells(row: &str) -> Vec<String> {
    // A bar that does not end a cell is escaped.
    let row = row.replace("\\|", "\u{0}");
    let mut cells = row.trim_end().trim_end_matches('|').split('|').map(|cell| cell.trim().replace('\u{0}', "|"));
    let first = cells.next().unwrap_or_default();
    // What stands behind the name of a call, such as its parameters, is a statement too.
    let named = first.strip_prefix('`').and_then(|rest| rest.split_once("` "));
    let (about, more) = named.map_or_else(|| (first.clone(), ""), |(name, more)| (format!("`{name}`"), more));
    let stated = pieces(more).into_iter().chain(cells.flat_map(|cell| pieces(&cell)));
    stated.map(|piece| format!("{about} | {piece}")).collect()
}

/// `text` cut behind each full stop, question mark and semicolon that stands neither in brackets nor in code.
fn pieces(text: &str) -> Vec<String> {
    let (mut pieces, mut piece) = (Vec::new(), String::new());
    let (mut depth, mut code) = (0_usize, false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        piece.push(character);
        match character {
            '`' => code = !code,
            '(' if !code => depth += 1,
            ')' if !code => depth = depth.saturating_sub(1),
            '.' | '?' | ';' if !code && depth == 0 && characters.peek() == Some(&' ') => {
                pieces.push(std::mem::take(&mut piece).trim().to_owned());
            }
            _ => {}
        }
    }
    pieces.push(piece.trim().to_owned());
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(markdown: &str) -> Vec<(String, String)> {
        let statements = read(markdown).into_iter().flat_map(|section| section.statements);
        statements.map(|statement| (statement.id, statement.text)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|&(id, text)| (id.to_owned(), text.to_owned())).collect()
    }

    #[test]
    fn paragraphs_and_bullets_are_cut_at_the_ends_of_sentences() {
        let markdown = "# Title\nNot a statement.\n\n## 3. One\nFirst\nline. Second (in brackets. Not; cut) at 1.5; third.\nIntroduces:\n\
            - a bullet\n  of two lines\n- `code; is. whole`, and more\n\n## 4. Two\nLast";
        let expected = [
            ("3.1", "First line."),
            ("3.2", "Second (in brackets. Not; cut) at 1.5;"),
            ("3.3", "third."),
            ("3.4", "Introduces:"),
            ("3.5", "a bullet of two lines"),
            ("3.6", "`code; is. whole`, and more"),
            ("4.1", "Last"),
        ];
        assert_eq!(texts(markdown), pairs(&expected));
    }

    #[test]
    fn rows_are_cut_into_cells_that_say_what_they_are_about() {
        let markdown = "## 4. API (port 1; also 2)\nA table:\n| call | who | answer |\n|---|---|---|\n| `GET /a` `?b` (1; 2) | all | 200; 404 |\n| `GET /b`, c | | `x\\|y` |\n\nEnd.";
        let expected = [
            ("4.1", "port 1;"),
            ("4.2", "also 2"),
            ("4.3", "A table:"),
            ("4.4", "`GET /a` | `?b` (1; 2)"),
            ("4.5", "`GET /a` | all"),
            ("4.6", "`GET /a` | 200;"),
            ("4.7", "`GET /a` | 404"),
            ("4.8", "`GET /b`, c | `x|y`"),
            ("4.9", "End."),
        ];
        assert_eq!(texts(markdown), pairs(&expected));
    }
}
