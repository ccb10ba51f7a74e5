//! Tokens: JWT, HS256 and nothing else.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use shared::shipment::Timestamp;
use shared::user_store::{Role, User};

use super::Caller;
use crate::config::Secret;
use crate::error::Problem;

/// How long a token is valid (contract section 4).
pub(crate) const LIFE_SECONDS: i64 = 86_400;
/// How far the clocks of two instances may differ.
const LEEWAY_SECONDS: i64 = 5;
/// Longest token that is looked at, in bytes: ours have about 350.
const TOKEN_BYTES: usize = 4_096;

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
    iat: i64,
    exp: i64,
}

/// What is read of a token; issuer and audience are checked by the library, which does not keep them.
#[derive(Deserialize)]
struct Presented {
    sub: String,
    role: Role,
    client_id: Option<String>,
    exp: i64,
}

/// Issues and verifies tokens.
pub(crate) struct Tokens {
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
}

impl Tokens {
    pub(crate) fn new(secret: &Secret) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library would read the time of day itself; `verify` compares with the clock that it is given.
        validation.validate_exp = false;
        let (signing, verifying) = (EncodingKey::from_secret(secret.bytes()), DecodingKey::from_secret(secret.bytes()));
        Self { signing, verifying, validation }
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
            iat,
            exp: iat + LIFE_SECONDS,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing).map_err(Problem::internal)
    }

    /// Who holds `token`; `None` when it is not ours, was changed or has expired.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Option<Caller> {
        if token.len() > TOKEN_BYTES {
            return None;
        }
        let claims = jsonwebtoken::decode::<Presented>(token, &self.verifying, &self.validation).ok()?.claims;
        let expired = claims.exp.saturating_add(LEEWAY_SECONDS) <= now.unix_seconds();
        let homeless = claims.role == Role::Client && claims.client_id.is_none();
        if expired || homeless {
            return None;
        }
        Some(Caller { sub: claims.sub, role: claims.role, client_id: claims.client_id })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn now() -> Timestamp {
        Timestamp::from_millis(1_750_000_000_000)
    }

    fn later(seconds: i64) -> Timestamp {
        Timestamp::from_millis(now().as_millis() + seconds * 1000)
    }

    fn tokens() -> Tokens {
        Tokens::new(&Secret::new(SECRET))
    }

    fn signed(claims: &Value, algorithm: Algorithm, secret: &str) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
            .expect("claims are JSON")
    }

    fn claims() -> Value {
        json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "ana", "role": "client", "client_id": "c1",
            "iat": now().unix_seconds(), "exp": now().unix_seconds() + 60})
    }

    #[test]
    fn a_token_says_who_holds_it_for_a_day_and_no_longer() {
        let user = User {
            username: "ana".to_owned(),
            password_hash: "hash".to_owned(),
            role: Role::Client,
            client_id: Some("c1".to_owned()),
            created_at: now(),
            updated_at: now(),
        };
        let token = tokens().issue(&user, now()).expect("issued");
        let ana = Caller { sub: "ana".to_owned(), role: Role::Client, client_id: Some("c1".to_owned()) };
        assert_eq!(tokens().verify(&token, now()), Some(ana.clone()));
        assert_eq!(tokens().verify(&token, later(LIFE_SECONDS + LEEWAY_SECONDS - 1)), Some(ana));
        assert_eq!(tokens().verify(&token, later(LIFE_SECONDS + LEEWAY_SECONDS)), None);
    }

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
        wrong.extend(["iss", "aud", "exp", "sub", "role", "client_id"].map(without));
        for token in wrong {
            assert_eq!(tokens().verify(&token, now()), None, "{token}");
        }
    }
}
