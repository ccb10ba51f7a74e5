//! `/admin/dead-letters`: what could not be processed, and what an operator does about it. For admins only: a letter may hold anybody's data.

mod list;
mod operator_log;
mod redrive;
mod show;
mod storm;

use shared::dead_letters::Trouble;
use shared::event_log::AppendError;

use crate::error::Problem;

pub(crate) use list::{Listed as LetterList, list_letters};
pub(crate) use operator_log::{Listed as OperatorLog, list_operator_log};
pub(crate) use redrive::{BODY_BYTES, Report as Redrive, post_redrive, schema as redrive_schema};
pub(crate) use show::get_letter;
pub(crate) use storm::{Said as StormContinued, post_storm_continue};

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Read(error) => Self::unavailable("The dead letters cannot be read; try again", error),
            Trouble::Append(error @ (AppendError::Unavailable(_) | AppendError::QueueFull)) => {
                let detail = "The log did not take everything; redrive it again, which does no harm to what it took";
                Self::unavailable(detail, error)
            }
            Trouble::Append(error @ AppendError::Refused(_)) => Self::internal(error),
            Trouble::Store(error) => error.into(),
        }
    }
}
