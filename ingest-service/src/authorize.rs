//! What a role may do (contract section 4), in one table.

use shared::user_store::Role;

use crate::authenticate::Caller;
use crate::error::{Code, Problem};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    ManageUsers,
    ManageApiKeys,
    CreateShipments,
    ReadShipments,
    ReadEvents,
    PostEvents,
    /// The vocabularies of carriers, and what they lack.
    OperateCarriers,
    /// What could not be processed, whoever sent it.
    OperateDeadLetters,
    /// What the program says about itself.
    OperateLogging,
}

impl Action {
    fn is_open_to(self, role: Role) -> bool {
        match (self, role) {
            (_, Role::Admin)
            | (Self::CreateShipments | Self::ReadShipments | Self::ReadEvents | Self::PostEvents, Role::Client)
            | (Self::PostEvents, Role::Source) => true,
            (
                Self::ManageUsers
                | Self::ManageApiKeys
                | Self::OperateCarriers
                | Self::OperateDeadLetters
                | Self::OperateLogging,
                Role::Client | Role::Source,
            )
            | (Self::CreateShipments | Self::ReadShipments | Self::ReadEvents, Role::Source) => false,
        }
    }
}

impl Caller {
    /// # Errors
    /// 403: the caller's role may not do this.
    pub(crate) fn require(&self, action: Action) -> Result<(), Problem> {
        if action.is_open_to(self.role) {
            return Ok(());
        }
        Err(Problem::new(Code::Forbidden, format!("The role {} may not do this", self.role.as_str())))
    }

    /// Whether what belongs to `client_id` may be shown to the caller.
    pub(crate) fn may_see(&self, client_id: Option<&str>) -> bool {
        match self.role {
            Role::Admin => true,
            Role::Client => client_id.is_some() && client_id == self.client_id.as_deref(),
            Role::Source => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // contract: "`admin` all"
    // contract: "may only post events"
    #[test]
    fn each_role_may_do_what_the_contract_says_and_no_more() {
        use Action::{
            CreateShipments, ManageApiKeys, ManageUsers, OperateCarriers, OperateDeadLetters, PostEvents, ReadEvents,
            ReadShipments,
        };
        let operating = [ManageUsers, ManageApiKeys, OperateCarriers, OperateDeadLetters];
        let all = [&operating[..], &[CreateShipments, ReadShipments, ReadEvents, PostEvents]].concat();
        let allowed = |role| all.iter().copied().filter(|action| action.is_open_to(role)).collect::<Vec<_>>();
        assert_eq!(allowed(Role::Admin), all);
        assert_eq!(allowed(Role::Client), [CreateShipments, ReadShipments, ReadEvents, PostEvents]);
        assert_eq!(allowed(Role::Source), [PostEvents]);
    }

    #[test]
    fn nothing_belongs_to_a_caller_without_a_client() {
        let caller = |role, client_id: Option<&str>| Caller {
            sub: "someone".to_owned(),
            role,
            client_id: client_id.map(str::to_owned),
        };
        assert!(caller(Role::Client, Some("a")).may_see(Some("a")));
        assert!(!caller(Role::Client, Some("a")).may_see(Some("b")));
        assert!(!caller(Role::Client, Some("a")).may_see(None));
        assert!(!caller(Role::Client, None).may_see(None));
        assert!(!caller(Role::Source, Some("a")).may_see(Some("a")));
        assert!(caller(Role::Admin, None).may_see(None));
    }
}
