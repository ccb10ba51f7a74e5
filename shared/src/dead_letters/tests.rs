//! What operators are promised, on the log in memory.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::event_log::memory::MemoryLog;
use crate::event_log::{Header, LogRecord, NewRecord, Position, Topic};
use crate::operator_log::Act;
use crate::operator_log::memory::MemoryOperatorLog;

const PARTITIONS: i32 = 5;
const BEGIN: i64 = 1_750_000_000_000;

struct Bench {
    log: MemoryLog,
    operators: Arc<MemoryOperatorLog>,
    letters: DeadLetters,
}

impl Bench {
    fn new() -> Self {
        let log = MemoryLog::new(PARTITIONS, || BEGIN);
        let operators = Arc::new(MemoryOperatorLog::default());
        let clock = || Timestamp::from_millis(BEGIN);
        let ports = (Arc::new(log.clone()), Arc::new(log.clone()), operators.clone());
        let letters = DeadLetters::new(ports.0, ports.1, ports.2, "shipments.events", clock);
        Self { log, operators, letters }
    }

    /// Appends the original of letter `n` to the events, and the letter; gives the id of the letter.
    async fn bury(&self, n: usize, reason: &str) -> LetterId {
        let original = original(n);
        let at = self.log.append(Topic::Events, vec![original.clone()]).await.all().expect("appended")[0];
        self.log
            .append(Topic::DeadLetters, vec![letter(original, n, reason, at)])
            .await
            .all()
            .map(|at| LetterId(at[0]))
            .expect("appended")
    }

    async fn all(&self, filter: &Filter, limit: usize) -> Vec<LetterId> {
        let (mut ids, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.letters.list(filter, cursor.as_ref(), limit).await.expect("readable");
            assert!(page.data.len() <= limit);
            ids.extend(page.data.iter().map(|letter| letter.id));
            let Some(next) = page.next else { return ids };
            cursor = Cursor::of_list(&next.encode(), filter);
            assert!(cursor.is_some());
        }
    }

    async fn redrive(&self, selection: Selection, dry_run: bool) -> RedriveReport {
        let request = RedriveRequest { selection, limit: MOST_REDRIVEN, dry_run, by: "ana".to_owned() };
        self.letters.redrive(&request).await.expect("works")
    }

    /// The events behind the first `before`.
    fn events(&self) -> Vec<LogRecord> {
        self.log.records(Topic::Events)
    }
}

fn number(n: usize) -> TrackingNumber {
    format!("99M-KEY{:03}", n % 23).parse().expect("well-formed")
}

fn original(n: usize) -> NewRecord {
    let headers = vec![
        Header::text("ce_id", format!("evt_{n}")),
        Header { name: "raw".into(), value: Some(Bytes::from_static(&[0xff])) },
    ];
    NewRecord::keyed(number(n), format!("no JSON {n}").into(), headers)
}

/// Buried `n` seconds after the beginning.
fn letter(original: NewRecord, n: usize, reason: &str, at: Position) -> NewRecord {
    let mut letter = original;
    let time = Timestamp::from_millis(BEGIN + 1_000 * i64::try_from(n).expect("small"));
    letter.headers.extend([
        Header::text("dlq.topic", "shipments.events"),
        Header::text("dlq.partition", at.partition.to_string()),
        Header::text("dlq.offset", at.offset.to_string()),
        Header::text("dlq.error.class", reason.to_owned()),
        Header::text("dlq.error.message", "it is no JSON"),
        Header::text("dlq.attempts", "1"),
        Header::text("dlq.first_failed_at", time.to_string()),
        Header::text("dlq.group", "processor-service"),
    ]);
    letter.partition = Some(at.partition);
    letter
}

#[tokio::test]
async fn a_list_gives_every_letter_once_the_newest_first_on_pages_of_any_length() {
    let bench = Bench::new();
    assert!(bench.all(&Filter::default(), 10).await.is_empty());
    let mut ids = Vec::new();
    for n in 0..700 {
        ids.push(bench.bury(n, if n % 7 == 0 { "BAD_FIELDS" } else { "NO_JSON" }).await);
    }
    ids.reverse();
    for limit in [1, 7, 100] {
        assert_eq!(bench.all(&Filter::default(), limit).await, ids, "pages of {limit}");
    }
    let pick = |takes: &dyn Fn(usize) -> bool| -> Vec<LetterId> {
        ids.iter().rev().enumerate().filter(|(n, _)| takes(*n)).map(|(_, id)| *id).rev().collect()
    };
    let time = |n: i64| Some(Timestamp::from_millis(BEGIN + 1_000 * n));
    let reason = Filter { reason: Some("BAD_FIELDS".to_owned()), ..Filter::default() };
    assert_eq!(bench.all(&reason, 9).await, pick(&|n| n % 7 == 0));
    let shipment = Filter { tracking_number: Some(number(4)), ..Filter::default() };
    assert_eq!(bench.all(&shipment, 9).await, pick(&|n| n % 23 == 4));
    let times = Filter { from: time(100), to: time(200), ..Filter::default() };
    assert_eq!(bench.all(&times, 9).await, pick(&|n| (100..200).contains(&n)));
    let all = Filter { reason: reason.reason, tracking_number: shipment.tracking_number, ..times };
    assert_eq!(bench.all(&all, 9).await, pick(&|n| (100..200).contains(&n) && n % 7 == 0 && n % 23 == 4));
}

#[tokio::test]
async fn a_list_looks_at_so_many_letters_and_no_more_and_goes_on_where_it_stopped() {
    let bench = Bench::new();
    let record = |n: usize| letter(original(n), n, "NO_JSON", Position { partition: (n % 5) as i32, offset: 0 });
    let first = LetterId(Position { partition: 0, offset: 0 });
    bench
        .log
        .append(Topic::DeadLetters, vec![letter(original(0), 0, "TOO_LARGE", first.0)])
        .await
        .all()
        .expect("appended");
    bench.log.append(Topic::DeadLetters, (1..LOOKED_AT + 10).map(record).collect()).await.all().expect("appended");
    let filter = Filter { reason: Some("TOO_LARGE".to_owned()), ..Filter::default() };
    let page = bench.letters.list(&filter, None, 10).await.expect("readable");
    assert!(page.data.is_empty() && page.next.is_some(), "not found yet, and there is more");
    let page = bench.letters.list(&filter, page.next.as_ref(), 10).await.expect("readable");
    assert_eq!(page.data.iter().map(|letter| letter.id).collect::<Vec<_>>(), [first]);
    assert_eq!(page.next, None);
}

#[tokio::test]
async fn letters_that_are_gone_or_foreign_are_told_as_what_they_are() {
    let bench = Bench::new();
    let foreign = NewRecord { key: None, partition: Some(2), value: None, headers: Vec::new(), timestamp: Some(BEGIN) };
    bench.log.append(Topic::DeadLetters, vec![foreign]).await.all().expect("appended");
    let page = bench.letters.list(&Filter::default(), None, 10).await.expect("readable");
    assert_eq!((page.data[0].reason.as_str(), page.data[0].original.as_ref()), ("UNKNOWN", None));
    for n in 0..20 {
        bench.bury(n, "NO_JSON").await;
    }
    bench.log.forget(Topic::DeadLetters, Position { partition: 2, offset: 1 });
    assert_eq!(bench.all(&Filter::default(), 3).await.len(), 20);
    let gone = LetterId(Position { partition: 2, offset: 0 });
    assert!(bench.letters.show(gone).await.expect("readable").is_none());
    assert_eq!(bench.redrive(Selection::Ids(vec![gone]), false).await.unknown, [gone]);
    for unknown in ["7:0", "0:99999"].map(|id| id.parse::<LetterId>().expect("well-formed")) {
        assert!(bench.letters.show(unknown).await.expect("readable").is_none());
    }
    for malformed in ["", "1", "1:", ":1", "-1:3", "1:-3", "a:b", "1:2:3", "99999999999:1", "+1:2"] {
        assert_eq!(malformed.parse::<LetterId>(), Err(MalformedId), "{malformed}");
    }
}

#[tokio::test]
async fn a_letter_is_shown_whole_with_the_records_around_its_original() {
    let bench = Bench::new();
    for n in 0..40 {
        bench.log.append(Topic::Events, vec![original(23 * n)]).await.all().expect("appended");
    }
    let id = bench.bury(0, "NO_JSON").await;
    bench.log.append(Topic::Events, vec![original(23)]).await.all().expect("appended");
    let shown = bench.letters.show(id).await.expect("readable").expect("there");
    assert_eq!((shown.key.as_deref(), shown.value.as_deref()), (Some("99M-KEY000"), Some("no JSON 0")));
    assert_eq!(shown.headers[1].value_base64.as_deref(), Some("/w=="), "what is no text");
    assert_eq!(shown.headers.len(), 10);
    let around: Vec<_> = shown.around.iter().map(|record| (record.offset, record.original)).collect();
    assert_eq!(around, [(35, false), (36, false), (37, false), (38, false), (39, false), (40, true), (41, false)]);
}

#[tokio::test]
async fn a_redrive_appends_the_original_records_in_order_and_says_of_what_they_are_repetitions() {
    let bench = Bench::new();
    let mut ids = Vec::new();
    for n in 0..300 {
        ids.push(bench.bury(n, if n % 2 == 0 { "NO_JSON" } else { "TOO_LARGE" }).await);
    }
    let before = bench.events();
    let filter = Filter { reason: Some("NO_JSON".to_owned()), ..Filter::default() };
    let dry = bench.redrive(Selection::Matching(filter.clone(), None), true).await;
    assert_eq!((dry.selected, dry.redriven, dry.next), (150, 0, None));
    assert_eq!(bench.events(), before, "a dry run does nothing");
    assert!(bench.operators.newest(None, 1).await.expect("readable").is_empty());

    let report = bench.redrive(Selection::Matching(filter, None), false).await;
    assert_eq!((report.selected, report.redriven), (150, 150));
    let entry = &bench.operators.newest(None, 10).await.expect("readable")[..];
    assert_eq!((entry.len(), entry[0].by.as_str(), entry[0].act), (1, "ana", Act::DeadLettersRedriven));
    assert_eq!(entry[0].details["selection"]["reason"], "NO_JSON");
    for letter in &report.letters {
        let to = letter.redriven_to.expect("redriven");
        let events = bench.events();
        let record = events.iter().find(|record| record.position == to).expect("there");
        let shown = bench.letters.show(letter.id).await.expect("readable").expect("there").letter;
        let original = shown.original.clone().expect("named");
        let at = Position { partition: original.partition, offset: original.offset };
        let first = events.iter().find(|record| record.position == at).expect("there");
        assert_eq!((&record.key, &record.value), (&first.key, &first.value));
        assert_eq!(record.headers[..2], first.headers);
        assert_eq!(
            record.headers[2..],
            [Header::text(REPLAY_OF, original.to_string()), Header::text(REPLAY_BY, "ana")]
        );
    }
    let of_shipment: Vec<_> = bench
        .events()
        .split_off(0)
        .into_iter()
        .filter(|record| record.header(REPLAY_OF).is_some() && record.key == original(6).key)
        .collect();
    let values: Vec<_> = of_shipment.iter().map(|record| record.value.clone().expect("one")).collect();
    let expected: Vec<Bytes> =
        (0..300).filter(|n| n % 23 == 6 && n % 2 == 0).map(|n| format!("no JSON {n}").into()).collect();
    assert_eq!(values, expected, "in their order");
}

#[tokio::test]
async fn a_redrive_by_ids_takes_those_and_no_others_and_goes_through_the_log_once() {
    let bench = Bench::new();
    let mut ids = Vec::new();
    for n in 0..900 {
        ids.push(bench.bury(n, "NO_JSON").await);
    }
    let before = bench.events().len();
    let wanted: Vec<LetterId> = [899, 3, 450, 3, 0].map(|n| ids[n]).to_vec();
    let report = bench.redrive(Selection::Ids(wanted.clone()), false).await;
    let mut redriven: Vec<_> = report.letters.iter().map(|letter| letter.id).collect();
    redriven.sort_unstable();
    let mut expected: Vec<_> = [0, 3, 450, 899].map(|n| ids[n]).to_vec();
    expected.sort_unstable();
    assert_eq!((redriven, report.redriven), (expected, 4));
    assert_eq!(bench.events().len(), before + 4);
}

#[tokio::test]
async fn a_redrive_stops_at_its_limit_and_the_next_one_goes_on_there() {
    let bench = Bench::new();
    for n in 0..250 {
        bench.bury(n, "NO_JSON").await;
    }
    let (mut cursor, mut ids) = (None, Vec::new());
    loop {
        let selection = Selection::Matching(Filter::default(), cursor);
        let request = RedriveRequest { selection, limit: 40, dry_run: false, by: "ana".to_owned() };
        let report = bench.letters.redrive(&request).await.expect("works");
        assert!(report.selected <= 40);
        ids.extend(report.letters.iter().map(|letter| letter.id));
        let Some(next) = report.next else { break };
        cursor = Cursor::of_redrive(&next.encode(), &Filter::default());
        assert!(cursor.is_some());
    }
    assert_eq!(ids.len(), 250);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 250, "each once");
}

#[tokio::test]
async fn letters_of_redriven_records_do_not_multiply_and_name_the_first_original() {
    let bench = Bench::new();
    let id = bench.bury(1, "NO_JSON").await;
    let first = bench.letters.show(id).await.expect("readable").expect("there").letter.original.expect("named");
    let to = bench.redrive(Selection::Ids(vec![id]), false).await.letters[0].redriven_to.expect("redriven");
    // It fails again.
    let record = bench.events().into_iter().find(|record| record.position == to).expect("there");
    let again =
        NewRecord { key: record.key, partition: None, value: record.value, headers: record.headers, timestamp: None };
    let again =
        bench.log.append(Topic::DeadLetters, vec![letter(again, 2, "NO_JSON", to)]).await.all().expect("appended")[0];
    let report = bench.redrive(Selection::Matching(Filter::default(), None), false).await;
    assert_eq!(
        report.letters.iter().map(|letter| letter.id).collect::<Vec<_>>(),
        [id],
        "not the letter of its repetition"
    );
    let named =
        bench.redrive(Selection::Ids(vec![LetterId(again)]), false).await.letters[0].redriven_to.expect("redriven");
    let record = bench.events().into_iter().find(|record| record.position == named).expect("there");
    assert_eq!(record.header(REPLAY_OF), Some(first.to_string().as_str()));
    assert_eq!(record.headers.iter().filter(|header| header.name == REPLAY_OF).count(), 1);
    assert!(record.headers.iter().all(|header| !header.name.starts_with("dlq.")));
}

#[tokio::test]
async fn a_letter_without_its_value_is_redriven_with_that_of_the_original() {
    let bench = Bench::new();
    let at = bench.log.append(Topic::Events, vec![original(5)]).await.all().expect("appended")[0];
    let mut short = letter(original(5), 5, "TOO_LARGE", at);
    short.value = None;
    short.headers.push(Header::text("dlq.value.omitted", "9 bytes; read the original record"));
    let lost = letter(NewRecord { value: None, ..short.clone() }, 6, "TOO_LARGE", Position { offset: 99, ..at });
    bench.log.append(Topic::DeadLetters, vec![short, lost]).await.all().expect("appended");
    let report = bench.redrive(Selection::Matching(Filter::default(), None), false).await;
    assert_eq!((report.selected, report.redriven), (2, 1));
    let to = report.letters[0].redriven_to.expect("the first one");
    let record = bench.events().into_iter().find(|record| record.position == to).expect("there");
    assert_eq!(record.value, original(5).value);
    assert!(report.letters[1].note.expect("told").contains("does not hold the original"));
}

#[tokio::test]
async fn nothing_is_redriven_that_is_not_written_down() {
    let bench = Bench::new();
    let id = bench.bury(1, "NO_JSON").await;
    let before = bench.events();
    bench.operators.set_away(true);
    let request =
        RedriveRequest { selection: Selection::Ids(vec![id]), limit: 1, dry_run: false, by: "ana".to_owned() };
    assert!(matches!(bench.letters.redrive(&request).await, Err(Trouble::Store(_))));
    assert_eq!(bench.events(), before);
    bench.log.set_away(true);
    assert!(matches!(bench.letters.list(&Filter::default(), None, 1).await, Err(Trouble::Read(_))));
}
