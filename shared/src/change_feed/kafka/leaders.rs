//! Partitions that have a new leader, of whom a client or a broker has not heard yet. librdkafka asks again by itself where it reads and
//! writes; where it is asked for offsets at a time it hands the error on.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Between two questions: as long as librdkafka's own `retry.backoff.ms`.
const PAUSE: Duration = Duration::from_millis(50);

/// What `ask` answers, asked again after `look_up` for as long as a leader is not known, at most about `patience`. Blocks.
///
/// # Errors
/// What `ask` failed with at last.
pub(super) fn when_known<T>(
    patience: Duration,
    mut look_up: impl FnMut(),
    mut ask: impl FnMut() -> Result<T, KafkaError>,
) -> Result<T, KafkaError> {
    let until = Instant::now() + patience;
    loop {
        match ask() {
            Err(error) if is_of_leaders(&error) && Instant::now() < until => {
                look_up();
                std::thread::sleep(PAUSE);
            }
            answered => return answered,
        }
    }
}

fn is_of_leaders(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::NotLeaderForPartition | RDKafkaErrorCode::LeaderNotAvailable))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often was asked and looked up when the answers are these errors, and then 7.
    fn asked(patience: Duration, errors: &[RDKafkaErrorCode]) -> (Result<i64, KafkaError>, usize, usize) {
        let (mut asked, mut looked_up) = (0, 0);
        let ask = || {
            asked += 1;
            errors.get(asked - 1).map_or(Ok(7), |&code| Err(KafkaError::MetadataFetch(code)))
        };
        let answer = when_known(patience, || looked_up += 1, ask);
        (answer, asked, looked_up)
    }

    #[test]
    fn a_question_waits_until_leaders_are_known() {
        use RDKafkaErrorCode::{BrokerTransportFailure, LeaderNotAvailable, NotLeaderForPartition};
        let long = Duration::from_secs(60);
        assert_eq!(asked(long, &[]), (Ok(7), 1, 0));
        assert_eq!(asked(long, &[NotLeaderForPartition, LeaderNotAvailable]), (Ok(7), 3, 2));
        let (answer, times, looked_up) = asked(long, &[BrokerTransportFailure]);
        assert!(answer.is_err() && (times, looked_up) == (1, 0), "any other error is the answer");
        let (answer, times, looked_up) = asked(Duration::ZERO, &[NotLeaderForPartition]);
        assert!(answer.is_err() && (times, looked_up) == (1, 0), "not for ever");
    }
}
