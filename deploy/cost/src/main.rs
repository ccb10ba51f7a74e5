//! `cost check [DIRECTORY]` counts what one event costs and holds it against docs/instructions.md; `cost write [DIRECTORY]` writes the table
//! anew. With a DIRECTORY the profiles stay there, `profile.2` for the first line of the table, `profile.4` for the second, and so on:
//! `callgrind_annotate DIRECTORY/profile.2` shows them.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cost::callgrind::{self, ROUNDS_WORD};
use cost::step::{Step, steps};
use cost::table::{self, Line};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/instructions.md");

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [ROUNDS_WORD] => steps().iter().for_each(Step::run),
        ["check"] => return check(&count_in_passing()?),
        ["check", directory] => return check(&count(Path::new(directory))?),
        ["write"] => write(&count_in_passing()?)?,
        ["write", directory] => write(&count(Path::new(directory))?)?,
        _ => {
            writeln!(std::io::stderr(), "usage: cost check | write [DIRECTORY]")?;
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn count_in_passing() -> Result<Vec<Line>, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    count(directory.path())
}

fn count(directory: &Path) -> Result<Vec<Line>, Box<dyn Error>> {
    std::fs::create_dir_all(directory)?;
    let steps = steps();
    let counts = callgrind::count(&std::env::current_exe()?, &steps, directory)?;
    let line = |(step, count): (&Step, _)| Line { step: step.name.to_owned(), form: step.form.to_owned(), count };
    Ok(steps.iter().zip(counts).map(line).collect())
}

fn write(counted: &[Line]) -> Result<(), Box<dyn Error>> {
    let document = std::fs::read_to_string(DOCUMENT)?;
    std::fs::write(PathBuf::from(DOCUMENT), table::write(&document, counted)?)?;
    counted.iter().try_for_each(|line| writeln!(std::io::stdout(), "{line}"))?;
    Ok(())
}

fn check(counted: &[Line]) -> Result<ExitCode, Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let table = table::read(&std::fs::read_to_string(DOCUMENT)?)?;
    counted.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    let differences = table::differences(&table, counted);
    if differences.is_empty() {
        let tolerance = table::TOLERANCE_PERCENT;
        writeln!(out, "as docs/instructions.md says, within {tolerance} %")?;
        return Ok(ExitCode::SUCCESS);
    }
    for difference in differences {
        writeln!(out, "{difference}")?;
    }
    writeln!(out, "When that is meant, `make cost WRITE=1` writes the table, and the same commit takes it.")?;
    Ok(ExitCode::FAILURE)
}
