//! Tokens: JWT, HS256 and nothing else.
//!
//! The first secret of `JWT_SECRET` signs, all of them verify: the one whose name the token has (`kid`), and all in turn when it has none or
//! one that nobody knows (the name may have come into the settings of another instance first). Hence the way to a new secret without
//! logging anybody out: add it at the end, on every instance; put it first; a day later, when every token is signed with it, drop the old one.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use lru::LruCache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shared::shipment::Timestamp;
use shared::user_store::{Role, User};

use super::Caller;
use crate::error::Problem;
use crate::jwt_secret::JwtSecrets;

/// How long a token is valid (contract section 4).
pub(crate) const LIFE_SECONDS: i64 = 86_400;
/// How far the clocks of two instances may differ.
const LEEWAY_SECONDS: i64 = 5;
/// Longest token that is looked at, in bytes: ours have about 350.
const TOKEN_BYTES: usize = 4_096;

/// Tokens of which it is remembered that their signature is right and what they say, a few hundred bytes each. To verify one costs more than all
/// else that the edge does about a single event but the event itself.
const VERIFIED: NonZeroUsize = NonZeroUsize::new(8_192).expect("is not 0");

const ISSUER: &str = "rastro";
const AUDIENCE: &str = "rastro-api";

#[derive(Serialize)]
struct Issued<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    /// The version of the user's credentials.
    cv: i64,
    iat: i64,
    exp: i64,
}

/// What is read of a token; issuer and audience are checked by the library, which does not keep them.
#[derive(Deserialize)]
struct Presented {
    sub: String,
    role: Role,
    client_id: Option<String>,
    cv: Option<i64>,
    iat: Option<i64>,
    exp: i64,
}

/// A token that we have signed and that has not expired.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) caller: Caller,
    /// The credentials that it was given out for.
    pub(crate) credentials: Credentials,
}

/// What a user's credentials were when a token was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// Those of this version: the user's `updated_at`, in milliseconds.
    Version(i64),
    /// Those of this second, in a token that does not name their version.
    AsOf(i64),
}

impl Credentials {
    /// Whether they are the ones that the user has had since `changed`.
    pub(crate) fn are_those_since(self, changed: Timestamp) -> bool {
        match self {
            Self::Version(version) => version == changed.as_millis(),
            Self::AsOf(second) => changed.unix_seconds() <= second,
        }
    }

    /// Whether they are newer than those that the user has had since `changed`: a change makes the version greater.
    pub(crate) fn are_newer_than(self, changed: Timestamp) -> bool {
        matches!(self, Self::Version(version) if version > changed.as_millis())
    }
}

/// Issues and verifies tokens.
pub(crate) struct Tokens {
    header: Header,
    signing: EncodingKey,
    /// With their names.
    verifying: Vec<(Option<String>, DecodingKey)>,
    validation: Validation,
    /// By the hash of the token: whoever reads our memory finds no tokens in it.
    verified: Mutex<LruCache<[u8; 32], Arc<Presented>>>,
}

impl Tokens {
    pub(crate) fn new(secrets: &JwtSecrets) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library would read the time of day itself; `verify` compares with the clock that it is given.
        validation.validate_exp = false;
        let mut header = Header::new(Algorithm::HS256);
        header.kid.clone_from(&secrets.first().name);
        let signing = EncodingKey::from_secret(secrets.first().secret.bytes());
        let verifying = secrets.all().map(|named| (named.name.clone(), DecodingKey::from_secret(named.secret.bytes())));
        let verified = Mutex::new(LruCache::sparse(VERIFIED));
        Self { header, signing, verifying: verifying.collect(), validation, verified }
    }

    /// A token for `user` from `now` on.
    pub(crate) fn issue(&self, user: &User, now: Timestamp) -> Result<String, Problem> {
        let iat = now.unix_seconds();
        let claims = Issued {
            iss: ISSUER,
            aud: AUDIENCE,
            sub: &user.username,
            role: user.role,
            client_id: user.client_id.as_deref(),
            cv: user.updated_at.as_millis(),
            iat,
            exp: iat + LIFE_SECONDS,
        };
        jsonwebtoken::encode(&self.header, &claims, &self.signing).map_err(Problem::internal)
    }

    /// What `token` says; `None` when it is not ours, was changed or has expired.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Option<Token> {
        if token.len() > TOKEN_BYTES {
            return None;
        }
        let claims = self.claims(token)?;
        let expired = claims.exp.saturating_add(LEEWAY_SECONDS) <= now.unix_seconds();
        let homeless = claims.role == Role::Client && claims.client_id.is_none();
        if expired || homeless {
            return None;
        }
        let credentials = match (claims.cv, claims.iat) {
            (Some(version), _) => Credentials::Version(version),
            (None, Some(second)) => Credentials::AsOf(second),
            (None, None) => return None,
        };
        let caller = Caller { sub: claims.sub.clone(), role: claims.role, client_id: claims.client_id.clone() };
        Some(Token { caller, credentials })
    }

    /// From when on `token` is refused, whatever else becomes of it.
    pub(crate) fn ends(&self, token: &str) -> Option<Timestamp> {
        let ends = self.claims(token)?.exp.saturating_add(LEEWAY_SECONDS);
        Some(Timestamp::from_millis(ends.saturating_mul(1000)))
    }

    /// What `token` says, whether it has expired or not; `None` when it is not ours or was changed.
    fn claims(&self, token: &str) -> Option<Arc<Presented>> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let verified = || self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = verified().get(&hash) {
            return Some(claims.clone());
        }
        let claims = Arc::new(self.verified_claims(token)?);
        verified().put(hash, claims.clone());
        Some(claims)
    }

    fn verified_claims(&self, token: &str) -> Option<Presented> {
        let with = |key| jsonwebtoken::decode(token, key, &self.validation).ok().map(|token| token.claims);
        if let [(_, only)] = self.verifying.as_slice() {
            return with(only);
        }
        let kid = jsonwebtoken::decode_header(token).ok()?.kid;
        match self.verifying.iter().find(|(name, _)| kid.is_some() && *name == kid) {
            Some((_, named)) => with(named),
            None => self.verifying.iter().find_map(|(_, key)| with(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::settings::Environment;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const OLD: &str = "an older secret";

    fn now() -> Timestamp {
        Timestamp::from_millis(1_750_000_000_123)
    }

    fn later(seconds: i64) -> Timestamp {
        Timestamp::from_millis(now().as_millis() + seconds * 1000)
    }

    fn with(setting: &str) -> Tokens {
        let environment = Environment::of(&[("JWT_SECRET", setting)]);
        Tokens::new(&JwtSecrets::from_environment(&environment, false).expect("valid"))
    }

    fn tokens() -> Tokens {
        with(SECRET)
    }

    fn ana() -> User {
        User::new("ana".to_owned(), "hash".to_owned(), Role::Client, Some("c1".to_owned()), now())
    }

    fn signed(claims: &Value, algorithm: Algorithm, secret: &str) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
            .expect("claims are JSON")
    }

    fn claims() -> Value {
        json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "ana", "role": "client", "client_id": "c1",
            "iat": now().unix_seconds(), "exp": now().unix_seconds() + 60})
    }

    // contract: "`admin` all"
    // contract: "`POST /auth/login` | 200"
    #[test]
    fn a_token_says_who_holds_it_for_a_day_and_no_longer() {
        let token = tokens().issue(&ana(), now()).expect("issued");
        let key = DecodingKey::from_secret(SECRET.as_bytes());
        let issued = jsonwebtoken::decode::<Value>(&token, &key, &tokens().validation).expect("ours").claims;
        let expected = json!({"sub": "ana", "role": "client", "client_id": "c1", "iss": "rastro", "aud": "rastro-api",
            "iat": now().unix_seconds(), "exp": later(86_400).unix_seconds(), "cv": now().as_millis()});
        assert_eq!(issued, expected);
        let caller = Caller { sub: "ana".to_owned(), role: Role::Client, client_id: Some("c1".to_owned()) };
        let credentials = Credentials::Version(now().as_millis());
        let says = || Some(Token { caller: caller.clone(), credentials });
        assert_eq!(tokens().verify(&token, now()), says());
        assert_eq!(tokens().verify(&token, later(LIFE_SECONDS + LEEWAY_SECONDS - 1)), says());
        assert_eq!(tokens().verify(&token, later(LIFE_SECONDS + LEEWAY_SECONDS)), None);
    }

    #[test]
    fn a_token_that_was_verified_before_ends_when_it_ends_and_vouches_for_no_other() {
        let (ours, theirs) = (tokens(), with(OLD));
        let token = ours.issue(&ana(), now()).expect("issued");
        let end = later(LIFE_SECONDS + LEEWAY_SECONDS);
        for _ in 0..2 {
            assert_eq!(ours.verify(&token, now()).map(|token| token.caller.sub), Some("ana".to_owned()));
            assert_eq!(ours.verify(&token, end), None, "what is remembered of it does not make it live longer");
            assert_eq!(theirs.verify(&token, now()), None, "and nothing is remembered of a token that is refused");
            let changed = format!("{}A", &token[..token.len() - 1]);
            assert!(changed == token || ours.verify(&changed, now()).is_none());
        }
    }

    #[test]
    fn credentials_are_told_apart_by_their_version_and_without_one_by_the_second() {
        let (version, second) = (Credentials::Version(now().as_millis()), Credentials::AsOf(now().unix_seconds()));
        let next = Timestamp::from_millis(now().as_millis() + 1);
        assert!(
            version.are_those_since(now()) && !version.are_those_since(next) && !version.are_those_since(later(-60))
        );
        assert!(version.are_newer_than(later(-60)) && !version.are_newer_than(now()) && !version.are_newer_than(next));
        assert!(
            second.are_those_since(now()) && second.are_those_since(later(-60)) && !second.are_those_since(later(1))
        );
    }

    #[test]
    fn the_first_secret_signs_and_all_of_them_verify() {
        let (plain, added) = (with(OLD), with(&format!("kid=old:{OLD},kid=new:{SECRET}")));
        let (turned, dropped) = (with(&format!("kid=new:{SECRET},kid=old:{OLD}")), with(&format!("kid=new:{SECRET}")));
        let token = |tokens: &Tokens| tokens.issue(&ana(), now()).expect("issued");
        let kid = |token: &str| jsonwebtoken::decode_header(token).expect("a header").kid;
        assert_eq!(kid(&token(&plain)), None);
        assert_eq!(kid(&token(&added)).as_deref(), Some("old"));
        assert_eq!(kid(&token(&turned)).as_deref(), Some("new"));
        // Each setting meets the tokens of the one before it and, while instances are replaced, of the one after it.
        let verifies = |tokens: &Tokens, by: &Tokens| tokens.verify(&token(by), now()).is_some();
        for (before, after) in [(&plain, &added), (&added, &turned), (&turned, &dropped)] {
            assert!(verifies(before, after) && verifies(after, after));
        }
        assert!(verifies(&added, &plain) && verifies(&turned, &plain) && verifies(&turned, &added));
        assert!(
            !verifies(&dropped, &added) && !verifies(&dropped, &plain),
            "a secret that was dropped is worth nothing"
        );
    }

    #[test]
    fn a_name_is_no_way_around_its_secret() {
        let both = with(&format!("kid=new:{SECRET},kid=old:{OLD}"));
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("new".to_owned());
        let sign = |header: &Header, secret: &str| {
            jsonwebtoken::encode(header, &claims(), &EncodingKey::from_secret(secret.as_bytes()))
                .expect("claims are JSON")
        };
        assert!(both.verify(&sign(&header, SECRET), now()).is_some());
        assert!(both.verify(&sign(&header, OLD), now()).is_none(), "signed with another one than it says");
        header.kid = Some("unknown".to_owned());
        assert!(both.verify(&sign(&header, OLD), now()).is_some());
        assert!(both.verify(&sign(&header, "a forger's"), now()).is_none());
    }

    // contract: "`Authorization: Bearer <JWT>` unless marked public"
    #[test]
    fn a_token_that_is_not_wholly_right_is_refused() {
        let right = signed(&claims(), Algorithm::HS256, SECRET);
        assert!(tokens().verify(&right, now()).is_some());
        let with = |name: &str, value: Value| {
            let mut changed = claims();
            changed[name] = value;
            signed(&changed, Algorithm::HS256, SECRET)
        };
        let without = |name: &str| {
            let mut changed = claims();
            changed.as_object_mut().expect("an object").remove(name);
            signed(&changed, Algorithm::HS256, SECRET)
        };
        // {"alg":"none"}
        let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", right.split('.').nth(1).expect("claims"));
        let mut wrong = vec![
            signed(&claims(), Algorithm::HS512, SECRET),
            signed(&claims(), Algorithm::HS256, "another secret"),
            with("iss", json!("someone")),
            with("aud", json!("something")),
            with("role", json!("root")),
            with("client_id", Value::Null),
            with("exp", json!(now().unix_seconds() - LEEWAY_SECONDS)),
            unsigned,
            "a.b.c".to_owned(),
            String::new(),
            "x".repeat(TOKEN_BYTES + 1),
        ];
        wrong.extend(["iss", "aud", "exp", "iat", "sub", "role", "client_id"].map(without));
        for token in wrong {
            assert_eq!(tokens().verify(&token, now()), None, "{token}");
        }
    }
}
