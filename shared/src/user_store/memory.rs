//! Users in memory, for tests.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;

use super::{User, UserError, UserStore};
use crate::shipment_store::StoreError;

/// Users by name.
#[derive(Debug, Default)]
pub struct MemoryUsers {
    users: Mutex<BTreeMap<String, User>>,
}

impl MemoryUsers {
    fn users(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, User>> {
        self.users.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl UserStore for MemoryUsers {
    async fn find(&self, username: &str) -> Result<Option<User>, StoreError> {
        Ok(self.users().get(username).cloned())
    }

    async fn add(&self, user: User) -> Result<(), UserError> {
        let mut users = self.users();
        if users.contains_key(&user.username) {
            return Err(UserError::Taken);
        }
        users.insert(user.username.clone(), user);
        Ok(())
    }

    async fn all(&self) -> Result<Vec<User>, StoreError> {
        Ok(self.users().values().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_memory_users_keep_the_contract() {
        crate::user_store::conformance::run(std::sync::Arc::new(MemoryUsers::default())).await;
    }
}
