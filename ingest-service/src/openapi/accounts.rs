//! `/auth`.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Book;
use super::header::CACHE_CONTROL;
use super::operation::{Operation, Parameter, part};
use crate::authenticate::{Granted, Keys, NewKey, ShownKey, ShownUser, Users};
use crate::error::Code;
use crate::request::LOGIN_BODY_BYTES;
use crate::validate;

pub(super) fn describe(book: &mut Book) {
    let credentials = book.body(
        "Credentials",
        validate::credentials_schema(),
        &[("username", "The name of the user."), ("password", "The password.")],
    );
    let granted = book.answer::<Granted>();
    book.add(
        Operation::post("/auth/login", "logIn", "Log in")
            .public()
            .tag("accounts")
            .text("The token goes into `Authorization: Bearer …`. An unknown user and a wrong password get the same answer.")
            .body(credentials, LOGIN_BODY_BYTES, &[("development", json!({"username": "admin_user", "password": "password123"}))])
            .answers(StatusCode::OK, "A token.", granted, &[CACHE_CONTROL])
            .such_as(json!({"token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.….…", "expires_in": 86_400, "token_type": "Bearer"}))
            .refuses(&[Code::Unauthorized, Code::TooManyRequests]),
    );
    users(book);
    keys(book);
}

fn users(book: &mut Book) {
    let new_user = book.body(
        "NewUser",
        validate::new_user_schema(),
        &[
            ("username", "The name to log in with."),
            ("password", "The password. Its length is bounded in bytes."),
            ("role", "What the user may do: everything, the shipments of one client, or posting events."),
            ("client_id", "The client that the user belongs to; required for the role `client`."),
        ],
    );
    let change = book.body(
        "UserChange",
        validate::user_change_schema(),
        &[
            ("password", "A new password. Its length is bounded in bytes."),
            ("role", "What the user may do from now on."),
            ("client_id", "The client that the user belongs to; null: none any more."),
            ("disabled", "Whether the user is kept out."),
        ],
    );
    let (users, user) = (book.answer::<Users>(), book.answer::<ShownUser>());
    book.add(
        Operation::get("/auth/users", "listUsers", "List the users")
            .tag("accounts")
            .text("For admins.")
            .answers(StatusCode::OK, "All users, without their passwords.", users, &[])
            .such_as(json!({"data": [ana()]}))
            .refuses(&[Code::Forbidden]),
    );
    book.add(
        Operation::post("/auth/users", "addUser", "Add a user")
            .tag("accounts")
            .text("For admins.")
            .body(
                new_user,
                LOGIN_BODY_BYTES,
                &[("client", json!({"username": "ana", "password": "correct horse", "role": "client", "client_id": "client_009"}))],
            )
            .answers(StatusCode::CREATED, "The user.", user.clone(), &[])
            .such_as(ana())
            .refuses(&[Code::Forbidden, Code::UsernameTaken]),
    );
    let one =
        || part("username", "The name of the user.", json!({"type": "string", "minLength": 1}), "client_user_001");
    book.add(
        Operation::get("/auth/users/{username}", "getUser", "Read a user")
            .tag("accounts")
            .text("For admins.")
            .takes(one())
            .answers(StatusCode::OK, "The user.", user.clone(), &[])
            .such_as(ana())
            .refuses(&[Code::Forbidden, Code::NotFound]),
    );
    book.add(
        Operation::patch("/auth/users/{username}", "changeUser", "Change a user, or keep one out")
            .tag("accounts")
            .text("For admins. What is absent stays. The user's tokens from before are worth nothing any more. One enabled admin must remain.")
            .takes(one())
            .body(change, LOGIN_BODY_BYTES, &[("enable", json!({"role": "client", "client_id": "client_001", "disabled": false}))])
            .answers(StatusCode::OK, "The user.", user, &[])
            .such_as(ana())
            .refuses(&[Code::Forbidden, Code::NotFound, Code::LastAdmin, Code::UserChanged]),
    );
    book.add(
        Operation::delete("/auth/users/{username}", "removeUser", "Remove a user")
            .tag("accounts")
            .text("For admins. One enabled admin must remain.")
            .takes(one())
            .answers_with(StatusCode::NO_CONTENT, "The user is no more.", None, &[])
            .refuses(&[Code::Forbidden, Code::NotFound, Code::LastAdmin, Code::UserChanged]),
    );
}

fn keys(book: &mut Book) {
    let new = book.body(
        "NewApiKey",
        validate::key_schema(),
        &[
            ("name", "What it is for, and where."),
            ("role", "What its holder may do."),
            ("client_id", "The client that it belongs to; required for the role `client`."),
            ("expires_at", "Until when it is good, in the future; for ever when absent."),
        ],
    );
    let (listed, shown, made) = (book.answer::<Keys>(), book.answer::<ShownKey>(), book.answer::<NewKey>());
    let one = |operation: Operation| operation.tag("accounts").text("For admins.").takes(id());
    book.add(
        Operation::get("/auth/api-keys", "listApiKeys", "List the API keys")
            .tag("accounts")
            .text("For admins; the oldest first.")
            .answers(StatusCode::OK, "All keys, without their secrets.", listed, &[])
            .such_as(json!({"data": [scanner()]}))
            .refuses(&[Code::Forbidden]),
    );
    book.add(
        Operation::post("/auth/api-keys", "addApiKey", "Make an API key")
            .tag("accounts")
            .text("For admins. `key` goes into `Authorization: Bearer …` and is shown this once.")
            .body(new, LOGIN_BODY_BYTES, &[("scanner", json!({"name": "scanners of MX-07", "role": "source"}))])
            .answers(StatusCode::CREATED, "The key.", made, &[CACHE_CONTROL])
            .such_as(made_key())
            .refuses(&[Code::Forbidden]),
    );
    book.add(
        one(Operation::get("/auth/api-keys/{id}", "getApiKey", "Read about an API key"))
            .answers(StatusCode::OK, "The key, without its secret.", shown, &[])
            .such_as(scanner())
            .refuses(&[Code::Forbidden, Code::NotFound]),
    );
    book.add(
        one(Operation::delete("/auth/api-keys/{id}", "removeApiKey", "Remove an API key"))
            .answers_with(StatusCode::NO_CONTENT, "The key is worth nothing any more.", None, &[])
            .refuses(&[Code::Forbidden, Code::NotFound]),
    );
}

fn ana() -> Value {
    json!({
        "username": "ana", "role": "client", "client_id": "client_009", "disabled": false, "created_at": "2025-02-12T16:30:02.123Z",
        "updated_at": "2025-02-12T16:30:02.123Z",
    })
}

fn scanner() -> Value {
    json!({
        "id": "7G2BKBT9", "prefix": "rk_7G2BKBT9", "name": "scanners of MX-07", "role": "source", "client_id": null,
        "created_at": "2025-02-12T16:30:02.123Z", "created_by": "admin_user", "expires_at": null, "last_used_at": null,
    })
}

fn made_key() -> Value {
    let mut key = scanner();
    key["key"] = json!("rk_7G2BKBT9_…");
    key
}

fn id() -> Parameter {
    part("id", "The id of the key.", json!({"type": "string", "minLength": 1}), "7G2BKBT9")
}
