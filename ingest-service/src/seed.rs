//! The users to begin with: three in development; in production one, whom somebody must make.

use shared::clock::Clock;
use shared::shipment_store::StoreError;
use shared::user_store::{Role, User, UserError, UserStore};

use crate::authenticate::{HashError, hash_password};

/// The password of all three (contract section 6).
const PASSWORD: &str = "password123";

/// A user of development, as a program shows it to whoever starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeededUser {
    /// The name to log in with.
    pub username: &'static str,
    /// The password, which is public.
    pub password: &'static str,
    /// What the user may do.
    pub role: Role,
    /// The client that the user belongs to.
    pub client_id: Option<&'static str>,
}

/// Who is seeded.
pub const SEEDED_USERS: [SeededUser; 3] = [
    SeededUser { username: "admin_user", password: PASSWORD, role: Role::Admin, client_id: None },
    SeededUser { username: "client_user_001", password: PASSWORD, role: Role::Client, client_id: Some("client_001") },
    SeededUser { username: "driver_user_001", password: PASSWORD, role: Role::Source, client_id: None },
];

/// Whether these are the name and the password of a user of development, which everybody knows.
pub(crate) fn is_public(username: &str, password: &str) -> bool {
    SEEDED_USERS.iter().any(|seeded| seeded.username == username && seeded.password == password)
}

/// Why users were not seeded.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// A password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The store failed.
    #[error(transparent)]
    Users(#[from] UserError),
}

/// Adds [`SEEDED_USERS`] where they are missing; for `ENV=development` only. One that is there stays as it is.
///
/// # Errors
/// The store failed.
pub async fn seed_users(users: &dyn UserStore, clock: Clock) -> Result<(), SeedError> {
    for seeded in SEEDED_USERS {
        if users.find(seeded.username).await.map_err(UserError::Store)?.is_some() {
            continue;
        }
        let hashing = tokio::task::spawn_blocking(move || hash_password(seeded.password));
        let password_hash = hashing.await.expect("hashing does not panic")?;
        let (username, client_id) = (seeded.username.to_owned(), seeded.client_id.map(str::to_owned));
        match users.add(User::new(username, password_hash, seeded.role, client_id, clock())).await {
            Ok(()) | Err(UserError::Taken) => {} // another instance was first
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Says in the log that nobody can administer, when that is so; for `ENV=production`. `program` is what makes an admin.
///
/// # Errors
/// The store failed.
pub async fn check_admin(users: &dyn UserStore, program: &str) -> Result<(), StoreError> {
    let public = |user: &User| SEEDED_USERS.iter().any(|seeded| seeded.username == user.username);
    let users = users.all().await?;
    if !users.iter().any(User::is_enabled_admin) {
        tracing::warn!("there is no admin who can log in; to make one: {program} create-admin");
    }
    if users.iter().any(public) {
        tracing::warn!("there are users of development; their public password is refused in production");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use shared::user_store::memory::MemoryUsers;

    use super::*;

    #[tokio::test]
    async fn seeding_twice_changes_nothing() {
        let users = MemoryUsers::default();
        seed_users(&users, shared::clock::system).await.expect("in memory");
        let first = users.all().await.expect("in memory");
        seed_users(&users, shared::clock::system).await.expect("in memory");
        assert_eq!(users.all().await.expect("in memory"), first);
        assert_eq!(first.len(), SEEDED_USERS.len());
    }
}
