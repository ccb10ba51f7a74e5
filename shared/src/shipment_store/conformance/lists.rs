//! Lists: every filter, and pages without a gap or a repeat. The expected page is computed here, from what was written.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::samples::{
    Seeded, at, creation, entry, fresh, full_registration, full_state, registration, report, stored, time,
};
use crate::shipment::{Claim, ServiceType, Status, TrackingNumber};
use crate::shipment_store::{ListFilter, Page, PageStart, ShipmentReader, ShipmentWriter, StoredShipment, Total};

/// Many shipments at few instants, so that a page ends in the middle of those of one instant.
const SHIPMENTS: u64 = 90;
const INSTANTS: u64 = 7;

/// Characters that mean something to a pattern, the middle of a number, and lower case: no number begins with any of these.
const NO_PREFIXES: [&str; 13] = [
    "99M-0.",
    "99M-%",
    "99M-0%",
    "99M-_",
    "99M-0*",
    ".*",
    "%",
    "99M-[0-9]",
    "^99M",
    "99M-0\\",
    "99M-0\u{ff}",
    "7A",
    "99M-7a",
];

// contract: "`?status&client_id&service_type&search"
pub(super) async fn run(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let empty = Page { shipments: Vec::new(), total: Total::exactly(0), next: None };
    let nothing = reader.list(&ListFilter::default(), PageStart::Offset(0), 10).await.expect("readable");
    assert_eq!(nothing, empty, "an empty store");
    let shipments = samples();
    let writes: Vec<_> = shipments.iter().map(|shipment| creation(&shipment.created, &shipment.state)).collect();
    writer.write_states(&writes).await.expect("written");
    let lists = Lists { reader, shipments };
    for filter in filters() {
        lists.check(&filter).await;
    }
    lists.check_pages(&ListFilter::default(), &lists.expected(&ListFilter::default()), 3).await;
    lists.check(&ListFilter { prefix: prefix("99M-"), ..ListFilter::default() }).await;
    for nothing_special in NO_PREFIXES {
        let filter = ListFilter { prefix: prefix(nothing_special), ..ListFilter::default() };
        let page = reader.list(&filter, PageStart::Offset(0), 10).await.expect("readable");
        assert_eq!(page, empty, "{nothing_special} stands for itself");
    }
    lists.a_cursor_needs_no_shipment_of_its_own().await;
    lists.limits_and_far_offsets().await;
}

fn prefix(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub(super) fn samples() -> Vec<StoredShipment> {
    let mut seeded = Seeded(11);
    let make = |index: u64| {
        // Alphabet and order of the numbers have nothing to do with the time of creation.
        let text = format!("99M-{}{:05}Z", ["0", "7A", "7AB", "Z"][(index % 4) as usize], (index * 7919) % 100_000);
        let number: TrackingNumber = text.parse().expect("well-formed");
        let seconds = i64::try_from(seeded.below(INSTANTS)).expect("small") * 1_001;
        let mut created =
            if index.is_multiple_of(9) { full_registration(number, seconds) } else { registration(number, seconds) };
        if !index.is_multiple_of(9) {
            created.body.client_id =
                Some(["client_001", "client_002", "client_0011"][seeded.below(3) as usize].to_owned());
            created.body.service_type = Some(ServiceType::ALL[seeded.below(3) as usize]);
        }
        let position = at(1, i64::try_from(index).expect("small"));
        let status = Status::ALL[seeded.below(6) as usize];
        let state = match status {
            Status::Created if index.is_multiple_of(2) => full_state(&created, position),
            Status::Created => fresh(&created, position),
            moved => fresh(&created, position).after(entry(&report(number, Claim::Status(moved), 9), true), position),
        };
        stored(created, state)
    };
    let shipments: Vec<_> = (0..SHIPMENTS).map(make).collect();
    let numbers: BTreeSet<_> = shipments.iter().map(|shipment| shipment.created.tracking_number).collect();
    assert_eq!(numbers.len(), shipments.len(), "the samples are distinct");
    shipments
}

/// Every combination of no filter and one or two values for each member.
pub(super) fn filters() -> Vec<ListFilter> {
    let clients = [None, Some("client_001"), Some("client.*%_$"), Some("client_00")];
    let prefixes = [None, prefix("99M-7A"), prefix("99M-0")];
    let mut filters = Vec::new();
    for status in [None, Some(Status::Created), Some(Status::Delivered)] {
        for client in clients {
            for service_type in [None, Some(ServiceType::SameDay)] {
                for prefix in &prefixes {
                    for (from, to) in
                        [(None, None), (Some(1_001), None), (None, Some(4_004)), (Some(1_001), Some(4_004))]
                    {
                        filters.push(ListFilter {
                            status,
                            client_id: client.map(str::to_owned),
                            service_type,
                            prefix: prefix.clone(),
                            created_from: from.map(time),
                            created_to: to.map(time),
                        });
                    }
                }
            }
        }
    }
    filters
}

pub(super) struct Lists<'a> {
    pub(super) reader: &'a dyn ShipmentReader,
    pub(super) shipments: Vec<StoredShipment>,
}

impl Lists<'_> {
    /// What a list must hold, newest first, without histories and without what is parked.
    pub(super) fn expected(&self, filter: &ListFilter) -> Vec<StoredShipment> {
        let matches = |shipment: &&StoredShipment| {
            let created = &shipment.created;
            filter.status.is_none_or(|status| status == shipment.state.current_status)
                && filter.client_id.as_ref().is_none_or(|client| client == created.client_id())
                && filter.service_type.is_none_or(|service| service == created.service_type())
                && filter.prefix.as_ref().is_none_or(|prefix| created.tracking_number.as_str().starts_with(prefix))
                && filter.created_from.is_none_or(|from| from <= created.created_at)
                && filter.created_to.is_none_or(|to| created.created_at < to)
        };
        let mut found: Vec<_> = self.shipments.iter().filter(matches).cloned().collect();
        found.sort_by_key(|shipment| Reverse((shipment.created.created_at, shipment.created.tracking_number)));
        for shipment in &mut found {
            shipment.state.status_history.clear();
            shipment.state.parked.clear();
        }
        found
    }

    pub(super) async fn page(&self, filter: &ListFilter, start: PageStart, limit: u32) -> Page {
        self.reader.list(filter, start, limit).await.expect("readable")
    }

    async fn check(&self, filter: &ListFilter) {
        let expected = self.expected(filter);
        let whole = self.page(filter, PageStart::Offset(0), 100).await;
        assert_eq!(whole.shipments, expected, "{filter:?}");
        assert_eq!((whole.total, whole.next), (Total::exactly(expected.len() as u64), None), "{filter:?}");
        // Short pages end within an instant; long lists make many of them.
        self.check_pages(filter, &expected, if expected.len() > 20 { 17 } else { 4 }).await;
    }

    /// Walks the list twice, by offsets and by cursors.
    async fn check_pages(&self, filter: &ListFilter, expected: &[StoredShipment], limit: u32) {
        let total = Total::exactly(expected.len() as u64);
        let mut cursor = PageStart::Offset(0);
        for (index, chunk) in expected.chunks(limit as usize).enumerate() {
            let begin = index * limit as usize;
            let more = begin + chunk.len() < expected.len();
            let last = &chunk.last().expect("a chunk is not empty").created;
            for start in [PageStart::Offset(begin as u64), cursor] {
                let page = self.page(filter, start, limit).await;
                assert_eq!(page.shipments, chunk, "{filter:?} {start:?}");
                let next = more.then_some((last.created_at, last.tracking_number));
                assert_eq!((page.total, page.next), (total, next), "{filter:?} {start:?}");
            }
            cursor = PageStart::After(last.created_at, last.tracking_number);
        }
        if !expected.is_empty() {
            let behind = self.page(filter, cursor, limit).await;
            assert_eq!((behind.shipments, behind.next), (Vec::new(), None), "nothing behind the last one");
            assert_eq!(behind.total, total, "the total is that of the whole list");
        }
    }

    async fn a_cursor_needs_no_shipment_of_its_own(&self) {
        let all = self.expected(&ListFilter::default());
        let number: TrackingNumber = "99M-5AAAAA".parse().expect("well-formed");
        let start = PageStart::After(time(3_003), number);
        let page = self.page(&ListFilter::default(), start, 100).await;
        let place = |shipment: &StoredShipment| (shipment.created.created_at, shipment.created.tracking_number);
        let rest: Vec<_> = all.into_iter().filter(|shipment| place(shipment) < (time(3_003), number)).collect();
        assert!(!rest.is_empty());
        assert_eq!(page.shipments, rest);
    }

    async fn limits_and_far_offsets(&self) {
        let total = self.shipments.len();
        let exact = u32::try_from(total).expect("small");
        let page = self.page(&ListFilter::default(), PageStart::Offset(0), exact).await;
        assert_eq!((page.shipments.len(), page.next), (total, None), "exactly all");
        let page = self.page(&ListFilter::default(), PageStart::Offset(0), exact - 1).await;
        assert_eq!((page.shipments.len(), page.next.is_some()), (total - 1, true), "all but one");
        for far in [total as u64, total as u64 + 1, u64::from(u32::MAX), u64::MAX] {
            let page = self.page(&ListFilter::default(), PageStart::Offset(far), 10).await;
            assert_eq!(page, Page { shipments: Vec::new(), total: Total::exactly(total as u64), next: None }, "{far}");
        }
    }
}
