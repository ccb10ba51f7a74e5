//! Users in memory, for tests. They can be told to be away.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{User, UserError, UserStore};
use crate::shipment_store::StoreError;

/// Users by name.
#[derive(Debug, Default)]
pub struct MemoryUsers {
    users: Mutex<BTreeMap<String, User>>,
    away: AtomicBool,
}

impl MemoryUsers {
    /// Makes the users unreachable, or reachable again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn reach(&self) -> Result<MutexGuard<'_, BTreeMap<String, User>>, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("told to be away"));
        }
        Ok(self.users.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl UserStore for MemoryUsers {
    async fn find(&self, username: &str) -> Result<Option<User>, StoreError> {
        Ok(self.reach()?.get(username).cloned())
    }

    async fn add(&self, user: User) -> Result<(), UserError> {
        let mut users = self.reach()?;
        if users.contains_key(&user.username) {
            return Err(UserError::Taken);
        }
        users.insert(user.username.clone(), user);
        Ok(())
    }

    async fn all(&self) -> Result<Vec<User>, StoreError> {
        Ok(self.reach()?.values().cloned().collect())
    }

    async fn replace(&self, was: &User, user: User) -> Result<(), UserError> {
        let mut users = self.reach()?;
        let found = users.get(&was.username).ok_or(UserError::Missing)?;
        if found.updated_at != was.updated_at {
            return Err(UserError::Changed);
        }
        if found.is_enabled_admin() && !user.is_enabled_admin() && !has_admin_besides(&users, &was.username) {
            return Err(UserError::LastAdmin);
        }
        users.insert(was.username.clone(), user);
        Ok(())
    }

    async fn remove(&self, username: &str) -> Result<(), UserError> {
        let mut users = self.reach()?;
        let found = users.get(username).ok_or(UserError::Missing)?;
        if found.is_enabled_admin() && !has_admin_besides(&users, username) {
            return Err(UserError::LastAdmin);
        }
        users.remove(username);
        Ok(())
    }
}

fn has_admin_besides(users: &BTreeMap<String, User>, username: &str) -> bool {
    users.values().any(|user| user.username != username && user.is_enabled_admin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_memory_users_keep_the_contract() {
        crate::user_store::conformance::run(std::sync::Arc::new(MemoryUsers::default())).await;
    }
}
