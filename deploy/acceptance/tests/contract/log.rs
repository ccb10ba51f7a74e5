//! The topics of the pair, as any Kafka client sees them (contract section 5).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use acceptance::client::text;
use acceptance::platform::Platform;
use acceptance::poster::Poster;
use acceptance::sample::{at, parcel, parcel_of, report, unregistered, with};
use acceptance::topic::{self, Record};
use acceptance::{verdict, wait};
use futures::future::join_all;
use serde_json::{Value, json};

const REPORTED: &str = "com.rastro.shipment.status_reported.v1";
const CREATED: &str = "com.rastro.shipment.created.v1";
const PATIENCE: Duration = Duration::from_secs(30);

async fn events(platform: &Platform) -> Vec<Record> {
    let pair = platform.on_servers();
    topic::read(&pair.servers.kafka_brokers, &pair.topic).await
}

fn json(record: &Record) -> Value {
    serde_json::from_slice(record.value.as_deref().unwrap_or_default()).expect("our records are JSON")
}

// contract: "`shipments.events` | tracking number"
// contract: "the partition key of every record"
// contract: "`shipments.events` | the source of truth"
// contract: "Records are CloudEvents 1.0"
// contract: "`status_reported` is the event body as accepted"
// contract: "only after the broker acknowledged the record"
pub(crate) async fn what_was_accepted_stands_in_the_topic_as_a_cloud_event(platform: &Platform) {
    let (ana, driver) = (platform.a_client().await, platform.driver().await);
    let shipments = ana.register_many(&parcel(), 12).await;
    let mut posters: Vec<_> =
        (0..4).map(|seed| Poster::new(driver.clone(), &format!("logged_{seed}"), &shipments, seed)).collect();
    join_all(posters.iter_mut().map(Poster::round)).await;
    let batch: Vec<_> = shipments.iter().map(|number| report(number, "delivered", 900)).collect();
    let queued = ana.post("/events/batch", &json!(batch)).await.with_status(202);

    let mut accepted: BTreeSet<String> =
        posters.iter().flat_map(|poster| &poster.accepted).map(|accepted| accepted.event_id.clone()).collect();
    accepted.extend(queued["items"].as_array().expect("items").iter().map(|item| text(item, "event_id")));
    let records = events(platform).await;
    let held: BTreeSet<_> = records.iter().filter_map(|record| record.header("ce_id")).collect();
    let missing: Vec<_> = accepted.iter().filter(|id| !held.contains(id.as_str())).collect();
    assert!(missing.is_empty(), "accepted and not in the log: {missing:?}");

    let mut partitions: BTreeMap<&str, Option<i32>> = BTreeMap::new();
    for record in records.iter().filter(|record| shipments.iter().any(|number| number == record.key_text())) {
        let value = json(record);
        assert_eq!(value["tracking_number"], record.key_text());
        assert_eq!(
            *partitions.entry(record.key_text()).or_insert(record.partition),
            record.partition,
            "one key, one partition"
        );
        for (name, expected) in
            [("ce_specversion", "1.0"), ("content-type", "application/json"), ("ce_subject", record.key_text())]
        {
            assert_eq!(record.header(name), Some(expected), "{value}");
        }
        assert!(["ce_source", "ce_time", "traceparent"].iter().all(|name| record.header(name).is_some()), "{record:?}");
        match record.header("ce_type") {
            Some(REPORTED) => {
                assert_eq!(value["event_id"].as_str(), record.header("ce_id"));
                assert!(value["reporter"]["role"].is_string() && value["recorded_at"].is_string(), "{value}");
            }
            Some(CREATED) => {
                assert_eq!(
                    (&value["client_id"], &value["transition_policy"]),
                    (&json!(ana.client_id()), &json!("strict"))
                );
                assert_eq!(value["allow_cancel_in_transit"], false);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(partitions.len(), shipments.len());
}

// contract: "`shipments.changes` | tracking number"
// contract: "one record for each applied change"
pub(crate) async fn every_applied_change_is_published_in_order(platform: &Platform) {
    let (ana, driver) = (platform.a_client().await, platform.driver().await);
    let shipments = ana.register_many(&parcel(), 20).await;
    let mut posters: Vec<_> =
        (0..4).map(|seed| Poster::new(driver.clone(), &format!("changing_{seed}"), &shipments, 70 + seed)).collect();
    join_all(posters.iter_mut().map(async |poster| {
        for _ in 0..4 {
            poster.round().await;
        }
    }))
    .await;
    let accepted: Vec<_> = posters.iter().map(|poster| poster.accepted.as_slice()).collect();
    let moves = verdict::hold_to_account(&platform.admin().await, &accepted).await;
    verdict::hold_published_to_account(platform.on_servers(), &moves).await;
}

// contract: "A reader ignores members that it does not know"
// contract: "A record that any Kafka client writes"
// contract: "Values, `snake_case` JSON: `shipment.created`"
pub(crate) async fn a_record_of_any_kafka_client_is_processed_like_a_request(platform: &Platform) {
    let (admin, pair) = (platform.admin().await, platform.on_servers());
    let number = &*unregistered();
    let created =
        with(parcel_of("importer"), json!({"tracking_number": number, "created_at": at(-60), "added_in_2030": true}));
    let moved = with(report(number, "picked_up", 1), json!({"recorded_at": at(2), "added_in_2030": [1]}));
    let records = [
        Record::new(number, created.to_string(), &[("ce_type", CREATED)]),
        Record::new(number, moved.to_string(), &[("ce_type", REPORTED)]),
    ];
    topic::write(&pair.servers.kafka_brokers, &pair.topic, &records).await;
    let path = format!("/shipments/{number}");
    let shown = async || {
        let answer = admin.get(&path).await;
        (answer.status == 200 && answer.body["version"] == 2).then_some(answer.body)
    };
    let (shipment, _) = wait::until("the import is shown", PATIENCE, shown).await;
    assert_eq!((&shipment["current_status"], &shipment["client_id"]), (&json!("picked_up"), &json!("importer")));
    assert_eq!((&shipment["created_at"], &shipment["updated_at"]), (&json!(at(-60)), &json!(at(2))));
    // What came by record and what comes by request are the same event.
    let again = admin.report(&report(number, "picked_up", 1)).await.with_status(200);
    assert_eq!(again["status"], "duplicate");
    assert_eq!(shipment["status_history"][1]["event_id"], again["event_id"]);
}

pub(crate) async fn an_owner_sees_what_was_reported_before_its_shipment_was_there(platform: &Platform) {
    let (ana, eve, driver) = (platform.a_client().await, platform.a_client().await, platform.driver().await);
    let (admin, pair) = (platform.admin().await, platform.on_servers());
    let number = &*unregistered();
    driver.report(&report(number, "picked_up", 1)).await.problem(409, "SHIPMENT_NOT_FOUND");
    eve.report(&report(number, "picked_up", 2)).await.problem(409, "SHIPMENT_NOT_FOUND");
    let path = format!("/shipments/{number}/events");
    admin.get(&path).await.problem(404, "NOT_FOUND");
    let created = with(parcel_of(ana.client_id()), json!({"tracking_number": number, "created_at": at(0)}));
    let record = Record::new(number, created.to_string(), &[("ce_type", CREATED)]);
    topic::write(&pair.servers.kafka_brokers, &pair.topic, &[record]).await;
    let shown = async || {
        let answer = ana.get(&path).await;
        (answer.status == 200).then_some(answer.body)
    };
    let (page, _) = wait::until("the shipment is shown", PATIENCE, shown).await;
    let told = |index: usize| (page["data"][index]["reason"].clone(), page["data"][index]["status"].clone());
    assert_eq!(told(0), (json!("SHIPMENT_NOT_FOUND"), json!("picked_up")));
    assert_eq!(told(1), (json!("SHIPMENT_NOT_FOUND"), Value::Null), "what eve sent is eve's");
    assert_eq!(told(2), (Value::Null, json!("created")));
}

// contract: "`shipments.events.dlq` | the original key"
// contract: "dead letters: original key, value"
// contract: "A record that any Kafka client writes"
pub(crate) async fn a_poison_record_becomes_a_dead_letter_byte_for_byte_and_the_lane_goes_on(platform: &Platform) {
    let (ana, pair) = (platform.a_client().await, platform.on_servers());
    let number = ana.register(&parcel()).await;
    let mut odd = Record::new(&number, *b"\x00\xff{not json", &[("ce_type", REPORTED), ("twice", "1"), ("twice", "2")]);
    odd.headers.push(("empty".to_owned(), None));
    odd.headers.push(("bytes".to_owned(), Some(vec![0, 159, 146, 150])));
    odd.timestamp = Some(1_739_372_400_123);
    let good_value = report(&number, "picked_up", 1).to_string();
    let poison = [
        (odd, "NO_JSON"),
        (Record::new(&number, good_value.clone(), &[("ce_type", "com.example.other.v1")]), "UNKNOWN_TYPE"),
        (Record::new(&number, "{}", &[("ce_type", REPORTED)]), "BAD_FIELDS"),
        (Record::new(&unregistered(), good_value, &[("ce_type", REPORTED)]), "KEY_MISMATCH"),
        (Record { value: None, ..Record::new(&number, "", &[("ce_type", REPORTED)]) }, "NO_VALUE"),
        (Record::new(&number, vec![b' '; 300_000], &[("ce_type", REPORTED)]), "TOO_LARGE"),
    ];
    let records: Vec<_> = poison.iter().map(|(record, _)| record.clone()).collect();
    topic::write(&pair.servers.kafka_brokers, &pair.topic, &records).await;
    let answer = ana.report(&report(&number, "picked_up", 1)).await.with_status(200);
    assert_eq!(answer["status"], "applied", "the lane went on");

    let letters = async || {
        let topic = format!("{}.dlq", pair.topic);
        let letters = topic::read(&pair.servers.kafka_brokers, &topic).await;
        (letters.len() >= poison.len()).then_some(letters)
    };
    let (letters, _) = wait::until("the dead letters are there", PATIENCE, letters).await;
    for (record, class) in &poison {
        let letter = letters.iter().find(|letter| letter.header("dlq.error.class") == Some(class));
        let letter = letter.unwrap_or_else(|| panic!("no letter of class {class} in {letters:?}"));
        assert_eq!((&letter.key, &letter.value), (&record.key, &record.value), "{class}");
        assert_eq!(letter.headers[..record.headers.len()], record.headers, "{class}");
        let expected = record.timestamp.or(letter.timestamp);
        assert_eq!(letter.timestamp, expected, "{class}");
        assert_eq!(
            (letter.header("dlq.topic"), letter.header("dlq.group")),
            (Some(&*pair.topic), Some(&*pair.database))
        );
        for name in ["dlq.error.message", "dlq.attempts", "dlq.first_failed_at"] {
            assert!(letter.header(name).is_some(), "{class}: {name}");
        }
        let place = |name| letter.header(name).and_then(|text| text.parse::<i64>().ok()).expect("a number");
        let (partition, offset) = (place("dlq.partition"), place("dlq.offset"));
        let original = events(platform)
            .await
            .into_iter()
            .find(|event| (event.partition.map(i64::from), event.offset) == (Some(partition), offset));
        assert_eq!(original.and_then(|original| original.value), record.value, "{class}: it says where it stood");
    }
    let letters = letters.iter().filter(|letter| poison.iter().any(|(record, _)| record.value == letter.value)).count();
    assert_eq!(letters, poison.len(), "each of them once");
}
