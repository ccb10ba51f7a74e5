//! What every log of operators must do: one suite for memory, SQLite and MongoDB.

use serde_json::json;

use super::{Act, Entry, OperatorLog};
use crate::shipment::Timestamp;

/// Runs the suite on an empty log.
///
/// # Panics
/// A promise is broken.
pub async fn run(log: &dyn OperatorLog) {
    assert!(log.newest(None, 10).await.expect("readable").is_empty());
    let entry = |n: i64| Entry {
        at: Timestamp::from_millis(1_750_000_000_000 + n),
        by: format!("operator {n} ñ"),
        act: Act::ALL[usize::try_from(n).expect("small") % Act::ALL.len()],
        details: json!({"n": n, "$set": {"a.b": [null, "x"]}, "text": "\" ' \u{1F600}"}),
    };
    let mut written: Vec<Entry> = (0..7).map(entry).collect();
    for entry in &written {
        log.write(entry).await.expect("written");
    }
    written.reverse();
    assert_eq!(log.newest(None, 100).await.expect("readable"), written, "newest first, each as it was");
    assert_eq!(log.newest(None, 3).await.expect("readable"), written[..3]);
    assert_eq!(log.newest(None, 0).await.expect("readable"), []);
    for act in Act::ALL {
        let of_act: Vec<_> = written.iter().filter(|entry| entry.act == act).cloned().collect();
        assert_eq!(log.newest(Some(act), 100).await.expect("readable"), of_act);
        assert_eq!(log.newest(Some(act), 1).await.expect("readable"), of_act[..1]);
    }
}
