//! Lists that are held to [`super::TIGHT`]: pages may be short and totals lower bounds, and yet a walk meets everything once.

use super::TIGHT;
use super::lists::{Lists, filters, samples};
use super::samples::creation;
use crate::shipment_store::{ListFilter, PageStart, ShipmentReader, ShipmentWriter};

/// More pages than any walk of the samples takes: a tenth of them is the longest way without a match.
const PAGES: usize = 100;

pub(super) async fn run(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let shipments = samples();
    let writes: Vec<_> = shipments.iter().map(|shipment| creation(&shipment.created, &shipment.state)).collect();
    writer.write_states(&writes).await.expect("written");
    let lists = Lists { reader, shipments };
    let mut seen = Seen::default();
    for filter in filters() {
        walk(&lists, &filter, &mut seen).await;
    }
    assert!(seen.short > 0, "no page was short: the bound of pages is not kept");
    assert!(seen.inexact > 0, "no total was a lower bound: the bound of totals is not kept");
    assert!(seen.exact > 0, "a total that is cheap is exact");
    a_count_stops_at_its_bound(&lists).await;
}

#[derive(Default)]
struct Seen {
    short: usize,
    inexact: usize,
    exact: usize,
}

async fn walk(lists: &Lists<'_>, filter: &ListFilter, seen: &mut Seen) {
    const LIMIT: u32 = 4;
    let expected = lists.expected(filter);
    let (mut found, mut start) = (Vec::new(), PageStart::Offset(0));
    for _ in 0..PAGES {
        let page = lists.page(filter, start, LIMIT).await;
        assert!(page.shipments.len() <= LIMIT as usize, "{filter:?} {start:?}");
        let full = page.shipments.len() == LIMIT as usize;
        seen.short += usize::from(page.next.is_some() && !full);
        let known = expected.len() as u64;
        if page.total.is_exact {
            assert_eq!(page.total.count, known, "{filter:?} {start:?}");
        } else {
            assert!(page.total.count <= known, "{filter:?} {start:?}: {:?} of {known}", page.total);
        }
        let (exact, inexact) = (usize::from(page.total.is_exact), usize::from(!page.total.is_exact));
        (seen.exact, seen.inexact) = (seen.exact + exact, seen.inexact + inexact);
        found.extend(page.shipments);
        let Some((time, number)) = page.next else {
            assert_eq!(found, expected, "{filter:?}");
            return;
        };
        if let PageStart::After(before, last) = start {
            assert!((time, number) < (before, last), "{filter:?}: the next page begins farther behind");
        }
        start = PageStart::After(time, number);
    }
    panic!("{filter:?}: a walk that does not end");
}

async fn a_count_stops_at_its_bound(lists: &Lists<'_>) {
    let of_client = ListFilter { client_id: Some("client_001".to_owned()), ..ListFilter::default() };
    let prefix = ListFilter { prefix: Some("99M-7A".to_owned()), ..ListFilter::default() };
    for filter in [of_client, prefix] {
        assert!(lists.expected(&filter).len() as u64 > TIGHT.counted, "the sample is large enough");
        let total = lists.page(&filter, PageStart::Offset(0), 1).await.total;
        assert_eq!((total.count, total.is_exact), (TIGHT.counted, false), "{filter:?}");
    }
    let all = lists.page(&ListFilter::default(), PageStart::Offset(0), 1).await.total;
    assert_eq!((all.count, all.is_exact), (lists.shipments.len() as u64, true), "everything costs nothing to count");
    let few = ListFilter { prefix: Some("99M-7AB0".to_owned()), ..ListFilter::default() };
    let count = lists.expected(&few).len();
    assert!(count > 0 && count as u64 <= TIGHT.sorted, "{count}");
    let page = lists.page(&few, PageStart::Offset(0), 100).await;
    assert_eq!((page.shipments.len(), page.total.is_exact, page.next), (count, true, None), "few are found at once");
}
