//! A member that is killed, on a real broker: it is a process of its own, this very test program.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::topic::{TestTopic, append_more, append_numbered, values_by_partition};
use crate::event_log::conformance::{LogUnderTest, PATIENCE, Recorder};
use crate::event_log::kafka::{KafkaAppender, KafkaSettings, KafkaSubscriber};
use crate::event_log::{EventSubscriber, LogRecord, Offer, PartitionConsumer, Position};

/// Says to the child what it is: broker, topic, group and partitions.
const CHILD: &str = "RASTRO_TEST_KAFKA_MEMBER";
/// The file in which the child says what it took.
const REPORT: &str = "RASTRO_TEST_KAFKA_REPORT";
/// The session's end and a rebalance.
const TAKE_OVER: Duration = Duration::from_secs(10);

/// Takes everything, makes it durable at once, and says the newest offset of each partition in a file.
struct Reporter {
    report: std::path::PathBuf,
    newest: Mutex<(BTreeMap<i32, i64>, bool)>,
}

impl PartitionConsumer for Reporter {
    fn assigned(&self, _: &[i32]) {}

    fn offer(&self, record: LogRecord) -> Offer {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.0.insert(record.position.partition, record.position.offset);
        newest.1 = true;
        Offer::Taken
    }

    fn wait_for_room(&self, _: i32, _: Duration) -> bool {
        true
    }

    fn durable(&self) -> Vec<Position> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut newest.1) {
            return Vec::new();
        }
        let text: String = newest.0.iter().map(|(partition, offset)| format!("{partition} {offset}\n")).collect();
        let written = self.report.with_extension("new");
        std::fs::write(&written, text).and_then(|()| std::fs::rename(&written, &self.report)).expect("can be written");
        newest.0.iter().map(|(&partition, offset)| Position { partition, offset: offset + 1 }).collect()
    }

    fn revoked(&self, _: &[i32]) {}

    fn lag(&self, _: i32, _: i64) {}

    fn alive(&self) {}
}

/// No test of its own: what the process that is killed runs. Without its variable it does nothing.
#[test]
fn the_member_that_is_killed() {
    let Ok(member) = std::env::var(CHILD) else { return };
    let [brokers, topic, group, partitions] = member.split(' ').collect::<Vec<_>>()[..] else { panic!("{member}") };
    let settings = KafkaSettings {
        brokers: brokers.to_owned(),
        topic: topic.to_owned(),
        partitions: partitions.parse().expect("a number"),
        replication_factor: 1,
        group: group.to_owned(),
        security: None,
    };
    let report = std::env::var(REPORT).expect("is set with the other").into();
    let consumer = Reporter { report, newest: Mutex::default() };
    // Until it is killed, or until the parent is gone for long.
    let stop = CancellationToken::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(PATIENCE * 3);
            stop.cancel();
        });
        Box::new(KafkaSubscriber::new(settings)).run(&consumer, &stop).expect("runs");
    });
}

/// Kills its process at the latest when the test ends.
struct Killed(Child);

impl Killed {
    fn start(settings: &KafkaSettings, report: &Path) -> Self {
        let KafkaSettings { brokers, topic, group, partitions, .. } = settings;
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "event_log::kafka::tests::killed::the_member_that_is_killed"]);
        command.env(CHILD, format!("{brokers} {topic} {group} {partitions}")).env(REPORT, report);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("can be started"))
    }

    fn kill(&mut self) {
        self.0.kill().expect("runs");
        self.0.wait().expect("ends");
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended before.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

fn reported(report: &Path) -> BTreeMap<i32, i64> {
    let text = std::fs::read_to_string(report).unwrap_or_default();
    let number = |word: Option<&str>| word.and_then(|word| word.parse::<i64>().ok()).expect("a number");
    let line = |line: &str| {
        let mut words = line.split(' ');
        (i32::try_from(number(words.next())).expect("a partition"), number(words.next()))
    };
    text.lines().map(line).collect()
}

#[test]
fn the_partitions_of_a_killed_member_are_taken_over_soon_without_a_gap() {
    let Some(_) = crate::real_servers::address("KAFKA_BROKERS", "a killed member in Kafka") else { return };
    let (topic, directory) = (TestTopic::make(4), tempfile::tempdir().expect("a directory"));
    let (settings, report) = (topic.settings.clone(), directory.path().join("report"));
    let of_member = settings.clone();
    let log = LogUnderTest {
        partitions: 4,
        appender: Arc::new(KafkaAppender::new(settings.clone()).expect("settings")),
        subscriber: Box::new(move || Box::new(KafkaSubscriber::new(of_member.clone()))),
        read: Box::new(|_| Vec::new()),
    };
    let mut expected = append_numbered(&log, 0..1_000);
    let survivor = Recorder::default();
    survivor.make_durable_when_revoked();
    survivor.run(&log, || {
        survivor.wait_for_records(1_000);
        let mut member = Killed::start(&settings, &report);
        survivor.wait("a member that shares", |state| (state.assigned.len() == 2).then_some(()));
        let kept = survivor.wait("it", |state| Some(state.assigned.clone()));
        append_more(&log, 1_000..3_000, &mut expected);
        let start = Instant::now();
        while reported(&report).len() < 2 {
            assert!(start.elapsed() < PATIENCE, "the member takes nothing");
            std::thread::sleep(Duration::from_millis(20));
        }
        member.kill();
        let killed = Instant::now();
        append_more(&log, 3_000..4_000, &mut expected);
        survivor.wait("the partitions of the killed member", |state| (state.assigned.len() == 4).then_some(()));
        let mine = |state: &crate::event_log::conformance::State| {
            let foreign = |record: &&LogRecord| !kept.contains(&record.position.partition);
            state.taken[1_000..].iter().find(foreign).map(|_| ())
        };
        survivor.wait("a record of the killed member's", mine);
        assert!(killed.elapsed() < TAKE_OVER, "took {:?}", killed.elapsed());

        let ends: BTreeMap<i32, i64> =
            expected.iter().map(|(&partition, records)| (partition, records.last().expect("some").0)).collect();
        let taken = survivor.wait("the ends of all partitions", |state| {
            let reached = |(&partition, &end): (&i32, &i64)| {
                state.taken.iter().any(|record| record.position == Position { partition, offset: end })
            };
            ends.iter().all(reached).then(|| state.taken.clone())
        });
        for (partition, offset) in reported(&report) {
            assert!(!kept.contains(&partition), "partition {partition} had two owners");
            let again = taken[1_000..].iter().filter(|record| record.position.partition == partition);
            let again: Vec<LogRecord> = again.cloned().collect();
            let first = again.first().expect("was taken over").position.offset;
            assert!(first <= offset + 1, "a gap from {offset} to {first} on {partition}");
            let rest: Vec<_> = expected[&partition].iter().filter(|(offset, _)| *offset >= first).cloned().collect();
            assert_eq!(values_by_partition(&again)[&partition], rest);
        }
        for partition in &kept {
            let whole: Vec<LogRecord> =
                taken.iter().filter(|record| record.position.partition == *partition).cloned().collect();
            assert_eq!(values_by_partition(&whole)[partition], expected[partition], "its own went on");
        }
    });
}
