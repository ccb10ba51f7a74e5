//! `create-admin`: adds an admin to the store behind the API's back, for a platform that nobody can log in to yet.
//!
//! The password is asked for at the terminal, twice and without an echo, or read from standard input when that is none. It is never an
//! argument: those are seen by everybody on the machine, and kept by the shell.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read};

use shared::clock::Clock;
use shared::shipment_store::StoreError;
use shared::user_store::{Role, User, UserError, UserStore};
use tokio::signal::unix::{SignalKind, signal};

use crate::authenticate::{HashError, LONGEST_PASSWORD, PasswordFault, check_password, hash_password};
use crate::validate;

/// The name of the admin when none is given.
const USERNAME: &str = "admin";
/// Most bytes that are read from standard input: the longest password and the end of its line (`\r\n`), and one to tell that it is longer.
const INPUT_BYTES: u64 = LONGEST_PASSWORD as u64 + 3;

/// What a program that has the edge in it is called for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Without arguments: to serve.
    Serve,
    /// `create-admin`.
    CreateAdmin(CreateAdmin),
    /// `--help`.
    Help,
}

/// Arguments that cannot be understood. They are not repeated: one of them may be a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}\n{usage}")]
pub struct UsageError {
    problem: String,
    usage: String,
}

impl Command {
    /// Reads the arguments of `program`, without its name.
    ///
    /// # Errors
    /// They are not understood; the message says how to call the program.
    pub fn from_arguments(program: &str, arguments: impl Iterator<Item = OsString>) -> Result<Self, UsageError> {
        let arguments: Vec<_> = arguments.map(|argument| argument.into_string().unwrap_or_default()).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let wrong = |problem: String| UsageError { problem, usage: Self::usage(program) };
        let username = match arguments.as_slice() {
            [] => return Ok(Self::Serve),
            ["--help" | "-h", ..] | ["create-admin", "--help" | "-h"] => return Ok(Self::Help),
            ["create-admin"] => USERNAME,
            ["create-admin", "--username", name] if !name.is_empty() => name,
            ["create-admin", ..] => {
                let problem = "create-admin takes --username NAME and nothing else; the password is asked for";
                return Err(wrong(problem.to_owned()));
            }
            _ => return Err(wrong("the arguments are not understood".to_owned())),
        };
        match validate::check_username(username) {
            Ok(()) => Ok(Self::CreateAdmin(CreateAdmin { username: username.to_owned() })),
            Err(problem) => Err(wrong(format!("the user name {problem}"))),
        }
    }

    /// How `program` is called.
    #[must_use]
    pub fn usage(program: &str) -> String {
        format!(
            "usage: {program}                                  serve; settings are in the environment\n\
             \x20      {program} create-admin [--username NAME]   add an admin ({USERNAME}); the password is asked for,\n\
             \x20      {:width$}                                  or read from standard input when that is no terminal\n\
             \x20      {program} healthcheck                      whether the one that runs here is ready: 0, or 1 and why not",
            "",
            width = program.len()
        )
    }
}

/// Why there is no new admin.
#[derive(Debug, thiserror::Error)]
pub enum CreateAdminError {
    /// The name is taken.
    #[error("there is a user {0:?} already; choose another name with --username")]
    Taken(String),
    /// What was given cannot be a password.
    #[error("the password {0}")]
    Password(#[from] PasswordFault),
    /// What was given is not one line of text.
    #[error("the password must be one line of UTF-8 text")]
    NoLine,
    /// The two that were typed are not the same.
    #[error("the two passwords are not the same")]
    Mistyped,
    /// Nothing could be read.
    #[error("no password could be read: {0}")]
    Input(#[from] io::Error),
    /// It could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The admin to be added.
#[derive(Debug, PartialEq, Eq)]
pub struct CreateAdmin {
    username: String,
}

impl CreateAdmin {
    /// Reads the password and adds the admin to `users`. Returns a sentence for whoever called.
    ///
    /// # Errors
    /// Nothing was added.
    pub async fn run(self, users: &dyn UserStore, clock: Clock) -> Result<String, CreateAdminError> {
        // Before anybody types a password for nothing.
        if users.find(&self.username).await?.is_some() {
            return Err(CreateAdminError::Taken(self.username));
        }
        // The prompt turns the echo of the terminal off. By default a Ctrl-C would end the program before it is on again; listened for, it
        // ends the prompt.
        let listened_for = io::stdin().is_terminal().then(|| signal(SignalKind::interrupt())).transpose()?;
        let reading = tokio::task::spawn_blocking(|| -> Result<_, CreateAdminError> {
            let password = read_password()?;
            check_password(&password)?;
            Ok(hash_password(&password)?)
        });
        let password_hash = reading.await.map_err(io::Error::other)??;
        drop(listened_for);
        let username = self.username;
        match users.add(User::new(username.clone(), password_hash, Role::Admin, None, clock())).await {
            Ok(()) => Ok(format!("{username} can log in now, as an admin")),
            Err(UserError::Store(error)) => Err(error.into()),
            Err(_) => Err(CreateAdminError::Taken(username)),
        }
    }
}

fn read_password() -> Result<String, CreateAdminError> {
    if !io::stdin().is_terminal() {
        return line_of(io::stdin());
    }
    let password = rpassword::prompt_password("Password: ")?;
    // A fault is told before it is typed again.
    check_password(&password)?;
    if rpassword::prompt_password("Again: ")? == password { Ok(password) } else { Err(CreateAdminError::Mistyped) }
}

/// The one line that `input` consists of.
fn line_of(input: impl Read) -> Result<String, CreateAdminError> {
    let mut bytes = Vec::new();
    input.take(INPUT_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| CreateAdminError::NoLine)?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if line.contains(['\n', '\r']) { Err(CreateAdminError::NoLine) } else { Ok(line.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Command, String> {
        Command::from_arguments("rastro", arguments.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_program_without_arguments_serves_and_create_admin_takes_a_name_and_no_password() {
        let create = |username: &str| Ok(Command::CreateAdmin(CreateAdmin { username: username.to_owned() }));
        assert_eq!(read(&[]), Ok(Command::Serve));
        assert_eq!(read(&["create-admin"]), create("admin"));
        assert_eq!(read(&["create-admin", "--username", "ana@x.mx"]), create("ana@x.mx"));
        assert_eq!(read(&["--help"]), Ok(Command::Help));
        for wrong in [
            &["create-admin", "hunter2!"] as &[_],
            &["create-admin", "--password", "hunter2!"],
            &["create-admin", "--username"],
            &["create-admin", "--username", ""],
            &["create-admin", "--username", "hunter2! with a space"],
            &["create-admin", "--username", "ana", "hunter2!"],
            &["hunter2!"],
        ] {
            let message = read(wrong).expect_err("not understood");
            assert!(message.contains("usage: rastro") && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn the_password_is_the_one_line_that_is_read() {
        for (input, password) in
            [("correct horse\n", "correct horse"), ("correct horse\r\n", "correct horse"), (" x ", " x ")]
        {
            assert_eq!(line_of(input.as_bytes()).expect("a line"), password);
        }
        for input in [b"two\nlines\n" as &[_], b"\xff\n", b"a\rb"] {
            assert!(matches!(line_of(input), Err(CreateAdminError::NoLine)), "{input:?}");
        }
        let longest = "x".repeat(LONGEST_PASSWORD);
        assert_eq!(line_of(format!("{longest}\r\n").as_bytes()).expect("a line"), longest);
        let read = line_of("x".repeat(1_000_000).as_bytes()).expect("a line");
        assert_eq!(check_password(&read), Err(PasswordFault::TooLong), "and no million bytes were read");
        assert!(read.len() < 100);
    }
}
