//! `JWT_SECRET`: what signs the tokens, one secret or a list of them.
//!
//! # Grammar
//! `JWT_SECRET=<secret>`, or `JWT_SECRET=kid=<name>:<secret>,kid=<name>:<secret>,…`. What begins with `kid=` is a list, and a list with a
//! mistake in it stops the start; anything else is one secret, whatever characters it has. A name is a slug of at most 32 characters and
//! public: it stands in the header of each token. In a list a secret has no comma. So nothing of a secret is ever taken for a name, and a
//! slip in a list never turns all of it into one secret.
//!
//! The first one signs, all of them verify.

use std::fmt;

use shared::settings::{Environment, SettingError};

const VARIABLE: &str = "JWT_SECRET";
/// Fewest bytes of a secret in production: HS256 is no stronger than its key, and its hash has 32 bytes (RFC 7518, section 3.2).
const SECRET_BYTES: usize = 32;
/// Fewest different bytes of a secret in production: of 32 random hexadecimal digits hardly ever fewer than 10 are different.
const DIFFERENT_BYTES: usize = 8;
/// Most secrets of a list: a token without a name is tried with each. A rotation needs two.
const SECRETS: usize = 8;
/// Longest name, in characters.
const NAME: usize = 32;
const NAMED: &str = "kid=";
/// The secret of development. It is public, so production refuses it.
const DEVELOPMENT_SECRET: &str = "rastro-development-secret-do-not-use-in-production";
/// Long secrets that stand in documentation and tutorials.
const WELL_KNOWN: [&str; 6] = [
    DEVELOPMENT_SECRET,
    "a-string-secret-at-least-256-bits-long",
    "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
    "qwertyuiopasdfghjklzxcvbnm123456",
    "abcdefghijklmnopqrstuvwxyz123456",
    "abcdefghijklmnopqrstuvwxyz0123456789",
];
/// What stands in a text that waits for somebody to put a secret in its place.
const PLACEHOLDERS: [&str; 8] =
    ["change-me", "changeme", "change_me", "change-this", "do-not-use", "your-secret", "your_secret", "your-256-bit"];
const HOW: &str = "for instance: openssl rand -hex 32";

/// What signs tokens. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret made of `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// All secrets that verify; the first one signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSecrets {
    first: NamedSecret,
    others: Vec<NamedSecret>,
}

/// A secret and the name that tokens call it by (`kid`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedSecret {
    pub(crate) name: Option<String>,
    pub(crate) secret: Secret,
}

impl From<Secret> for JwtSecrets {
    fn from(secret: Secret) -> Self {
        Self { first: NamedSecret { name: None, secret }, others: Vec::new() }
    }
}

impl JwtSecrets {
    /// The secrets out of `JWT_SECRET`, or the file that `JWT_SECRET_FILE` names; in development, when there is none, one that is public.
    ///
    /// # Errors
    /// A list has a mistake, or in production a secret is missing, short, public or easily guessed. The message names the item and never
    /// shows anything of it.
    pub(crate) fn from_environment(environment: &Environment, production: bool) -> Result<Self, SettingError> {
        let wrong = |problem: String| SettingError::new(VARIABLE, problem);
        let secrets = match environment.secret(VARIABLE)? {
            Some(text) => Self::parse(&text).map_err(wrong)?,
            None if production => return Err(wrong(format!("is required in production; {HOW}"))),
            None => Secret::new(DEVELOPMENT_SECRET).into(),
        };
        if production {
            secrets.check_strength().map_err(wrong)?;
        }
        Ok(secrets)
    }

    fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with(NAMED) {
            return Ok(Secret::new(text).into());
        }
        let mut secrets = Vec::<NamedSecret>::new();
        for (index, item) in text.split(',').enumerate() {
            let named = named(item.trim()).map_err(|problem| format!("item {}: {problem}", index + 1))?;
            if secrets.iter().any(|earlier| earlier.name == named.name) {
                return Err(format!("item {}: has the kid of an earlier item", index + 1));
            }
            secrets.push(named);
        }
        if secrets.len() > SECRETS {
            return Err(format!("has {} items; at most {SECRETS} are allowed", secrets.len()));
        }
        let others = secrets.split_off(1);
        let first = secrets.pop().ok_or("is empty")?;
        Ok(Self { first, others })
    }

    fn check_strength(&self) -> Result<(), String> {
        for (index, NamedSecret { secret, .. }) in self.all().enumerate() {
            if let Some(problem) = weakness(&secret.0) {
                let item = if self.first.name.is_some() { format!("item {} ", index + 1) } else { String::new() };
                return Err(format!("{item}{problem}; {HOW}"));
            }
        }
        Ok(())
    }

    /// The one that signs.
    pub(crate) fn first(&self) -> &NamedSecret {
        &self.first
    }

    /// All of them, the one that signs first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &NamedSecret> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

fn named(item: &str) -> Result<NamedSecret, String> {
    let form = "expected kid=<name>:<secret>";
    let (name, secret) = item.strip_prefix(NAMED).and_then(|rest| rest.split_once(':')).ok_or(form)?;
    let is_slug = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if name.is_empty() || name.len() > NAME || !is_slug {
        return Err(format!("a kid consists of 1 to {NAME} of a-z, 0-9, _ and -"));
    }
    if secret.is_empty() {
        return Err("its secret is empty".to_owned());
    }
    Ok(NamedSecret { name: Some(name.to_owned()), secret: Secret::new(secret) })
}

/// What is wrong with a secret for production.
fn weakness(secret: &str) -> Option<String> {
    let lower = secret.to_ascii_lowercase();
    if WELL_KNOWN.contains(&secret) {
        return Some("is a public one".to_owned());
    }
    if PLACEHOLDERS.iter().any(|placeholder| lower.contains(placeholder)) {
        return Some("is a placeholder".to_owned());
    }
    if secret.len() < SECRET_BYTES {
        return Some(format!("has {} bytes; production asks for at least {SECRET_BYTES}", secret.len()));
    }
    let mut different: Vec<u8> = secret.bytes().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < DIFFERENT_BYTES || repeats_itself(secret.as_bytes()) {
        return Some("repeats itself, so that it is easily guessed".to_owned());
    }
    None
}

/// Whether it is one piece over and over.
fn repeats_itself(secret: &[u8]) -> bool {
    (1..=secret.len() / 2).any(|piece| secret[piece..].iter().zip(secret).all(|(later, earlier)| later == earlier))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "9c1f0f6d2b7a4e58b3d6a1c07e94f2d85b6e3a70c4d1f9280e5a7b6c3d2f1e04";
    const OTHER: &str = "Zk3v/qP8+fQ1mT6yWbN0sLxR2aHd7UeJ4cGo9iVzXw=,x";

    fn read(environment: &str, secret: &str) -> Result<JwtSecrets, String> {
        let environment = [("ENV", environment), (VARIABLE, secret)];
        JwtSecrets::from_environment(&Environment::of(&environment), environment[0].1 == "production")
            .map_err(|error| error.to_string())
    }

    fn names(secrets: &JwtSecrets) -> Vec<Option<&str>> {
        secrets.all().map(|named| named.name.as_deref()).collect()
    }

    // contract: "`ENV=production` refuses to start"
    #[test]
    fn production_refuses_what_is_missing_short_public_or_easily_guessed_and_never_shows_it() {
        let repeated = "0123456789abcdef".repeat(2);
        let few = "aaaabbbbccccaabbccabcabcccaabbabcabacb";
        let placeholder = format!("please-ChangeMe-{GOOD}");
        for secret in
            ["", "hunter2hunter2", DEVELOPMENT_SECRET, WELL_KNOWN[1], &"x".repeat(64), &repeated, few, &placeholder]
        {
            let problem = read("production", secret).expect_err(secret);
            assert!(problem.starts_with("JWT_SECRET: ") && problem.contains("openssl"), "{problem}");
            assert!(secret.is_empty() || !problem.contains(secret), "{problem}");
            assert!(read("development", secret).is_ok(), "development takes what it is given");
            let listed = format!("kid=new:{GOOD},kid=old:{secret}");
            let problem = read("production", &listed).expect_err(secret);
            assert!(problem.starts_with("JWT_SECRET: item 2"), "{problem}");
            assert!(secret.is_empty() || !problem.contains(secret), "{problem}");
        }
        for secret in [GOOD, OTHER, "correct horse battery staple and so on"] {
            let secrets = read("production", secret).expect("strong");
            assert_eq!(names(&secrets), [None]);
            assert!(!format!("{secrets:?}").contains(secret), "{secrets:?}");
        }
    }

    #[test]
    fn a_list_is_what_begins_with_kid_and_nothing_else_is_taken_apart() {
        let list = read("production", &format!("kid=2026-b:{GOOD}, kid=a:Zk3v/qP8+fQ1m=:T6yWbN0sLxR2aHd7UeJ4cGo9"))
            .expect("a list");
        assert_eq!(names(&list), [Some("2026-b"), Some("a")]);
        let bytes: Vec<_> = list.all().map(|named| named.secret.bytes()).collect();
        assert_eq!(bytes, [GOOD.as_bytes(), b"Zk3v/qP8+fQ1m=:T6yWbN0sLxR2aHd7UeJ4cGo9"]);
        assert_eq!(list.first().name.as_deref(), Some("2026-b"));
        for plain in ["a=b,c=d", "x,y", "old=secret", "key:with:colons", "KID=a:b"] {
            assert_eq!(read("development", plain), Ok(Secret::new(plain).into()), "{plain}");
        }
    }

    #[test]
    fn a_mistake_in_a_list_is_named_and_none_of_its_secrets_is_shown() {
        let many: Vec<_> = (0..=SECRETS).map(|number| format!("kid=k{number}:{GOOD}{number}")).collect();
        for (list, problem) in [
            (format!("kid=a:{GOOD},{OTHER}"), "item 2: expected kid=<name>:<secret>"),
            (format!("kid=a:{GOOD},"), "item 2: expected kid=<name>:<secret>"),
            (format!("kid=A B:{GOOD}"), "item 1: a kid consists"),
            (format!("kid=:{GOOD}"), "item 1: a kid consists"),
            (format!("kid={}:{GOOD}", "x".repeat(NAME + 1)), "item 1: a kid consists"),
            ("kid=a:".to_owned(), "item 1: its secret is empty"),
            (format!("kid=a:{GOOD},kid=a:{GOOD}2"), "item 2: has the kid of an earlier item"),
            (many.join(","), "has 9 items"),
        ] {
            for environment in ["development", "production"] {
                let found = read(environment, &list).expect_err(&list);
                assert!(found.starts_with(&format!("JWT_SECRET: {problem}")), "{found}");
                assert!(!found.contains(GOOD) && !found.contains("A B"), "{found}");
            }
        }
    }
}
