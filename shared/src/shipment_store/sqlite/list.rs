//! Pages of shipments. The conditions of a filter become SQL out of a closed list; every value of a caller is a parameter.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::super::{ListFilter, Page, PageStart, StoreError, StoredShipment};
use super::read::stored;

pub(super) fn list(
    connection: &Connection,
    filter: &ListFilter,
    start: PageStart,
    limit: u32,
) -> Result<Page, StoreError> {
    let mut conditions = Conditions::of(filter);
    let count = format!("SELECT count(*) FROM shipments{}", conditions.sql());
    let total: i64 = connection.prepare_cached(&count)?.query_row(conditions.values(), |row| row.get(0))?;

    let offset = match start {
        PageStart::Offset(offset) => i64::try_from(offset).unwrap_or(i64::MAX),
        PageStart::After(time, number) => {
            let behind = [Value::from(time.as_millis()), Value::from(number.as_str().to_owned())];
            conditions.add("(created_at, tracking_number) < (?, ?)", behind);
            0
        }
    };
    let page = format!(
        "SELECT created, state FROM shipments JOIN registrations USING (id) JOIN states USING (id){}
         ORDER BY created_at DESC, tracking_number DESC LIMIT ? OFFSET ?",
        conditions.sql()
    );
    // One more than wanted tells whether there is a next page.
    conditions.values.extend([Value::from(i64::from(limit) + 1), Value::from(offset)]);
    let mut statement = connection.prepare_cached(&page)?;
    let found = statement.query_map(conditions.values(), stored)?;
    let mut shipments = found.map(|found| found.map(without_history)).collect::<rusqlite::Result<Vec<_>>>()?;
    let has_next = shipments.len() > limit as usize;
    shipments.truncate(limit as usize);
    Ok(Page { shipments, total: u64::try_from(total).unwrap_or(0), has_next })
}

fn without_history(mut stored: StoredShipment) -> StoredShipment {
    stored.state.status_history.clear();
    stored
}

/// Conditions that hold at once, and the values of their question marks in order.
#[derive(Default)]
struct Conditions {
    terms: Vec<&'static str>,
    values: Vec<Value>,
}

impl Conditions {
    fn of(filter: &ListFilter) -> Self {
        let mut conditions = Self::default();
        if let Some(client_id) = &filter.client_id {
            conditions.add("client_id = ?", [client_id.clone().into()]);
        }
        if let Some(status) = filter.status {
            conditions.add("current_status = ?", [status.as_str().to_owned().into()]);
        }
        if let Some(service_type) = filter.service_type {
            conditions.add("service_type = ?", [service_type.as_str().to_owned().into()]);
        }
        if let Some(prefix) = &filter.prefix {
            // A range instead of LIKE: it uses the index, and % and _ are characters like others.
            let beyond = format!("{prefix}{}", char::MAX);
            conditions.add("tracking_number >= ? AND tracking_number < ?", [prefix.clone().into(), beyond.into()]);
        }
        if let Some(from) = filter.created_from {
            conditions.add("created_at >= ?", [from.as_millis().into()]);
        }
        if let Some(to) = filter.created_to {
            conditions.add("created_at < ?", [to.as_millis().into()]);
        }
        conditions
    }

    fn add<const N: usize>(&mut self, term: &'static str, values: [Value; N]) {
        self.terms.push(term);
        self.values.extend(values);
    }

    fn sql(&self) -> String {
        if self.terms.is_empty() { String::new() } else { format!(" WHERE {}", self.terms.join(" AND ")) }
    }

    fn values(&self) -> impl rusqlite::Params + '_ {
        params_from_iter(self.values.iter())
    }
}
