//! `dead-letters list|show|redrive|continue`: what `/admin/dead-letters` does, for those who are on the machine.
//!
//! It works on the log and the store themselves, so it needs no edge, no user and no token; who may run it is the machine's affair. What it says
//! is JSON: one line for each listed letter, one document for everything else.

mod arguments;

use std::fmt::Write;

use serde::Serialize;
use shared::dead_letters::{Cursor, DeadLetters, MOST_LISTED, RedriveReport, RedriveRequest, Trouble};
use shared::settings::Environment;

pub use arguments::{Command, UsageError, usage};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// There is no such letter.
    #[error("there is no dead letter {0}")]
    Unknown(String),
    /// It could not be done.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// A report as it is printed.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    report: &'a RedriveReport,
    next_cursor: Option<String>,
}

impl Command {
    /// Does it, in the name of whoever is logged in to the machine; gives what is to be printed.
    ///
    /// # Errors
    /// See [`OperateError`].
    pub async fn run(self, letters: &DeadLetters, environment: &Environment) -> Result<String, OperateError> {
        let by = format!("cli:{}", operator(environment));
        match self {
            Self::List { filter, limit } => {
                let (mut text, mut listed, mut cursor) = (String::new(), 0, None::<Cursor>);
                while listed < limit {
                    let page = letters.list(&filter, cursor.as_ref(), MOST_LISTED.min(limit - listed)).await?;
                    listed += page.data.len();
                    for letter in &page.data {
                        text.push_str(&json(letter));
                        text.push('\n');
                    }
                    cursor = page.next;
                    if cursor.is_none() {
                        break;
                    }
                }
                if cursor.is_some() {
                    // Writing to a text cannot fail.
                    writeln!(text, "{{\"more\":true,\"limit\":{limit}}}").unwrap_or_default();
                }
                Ok(text)
            }
            Self::Show(id) => match letters.show(id).await? {
                Some(shown) => Ok(pretty(&shown)),
                None => Err(OperateError::Unknown(id.to_string())),
            },
            Self::Redrive { selection, limit, dry_run } => {
                let report = letters.redrive(&RedriveRequest { selection, limit, dry_run, by }).await?;
                let next_cursor = report.next.as_ref().map(Cursor::encode);
                Ok(pretty(&Printed { report: &report, next_cursor }))
            }
            Self::Continue => {
                letters.let_storm_through(&by).await?;
                Ok("processors that stand at a storm of dead letters let it through within seconds\n".to_owned())
            }
        }
    }
}

/// Who is logged in to the machine.
fn operator(environment: &Environment) -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME"];
    names.iter().find_map(|name| environment.text(name)).unwrap_or_else(|| "unknown".to_owned())
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own values are JSON")
}

fn pretty(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("our own values are JSON");
    text.push('\n');
    text
}
