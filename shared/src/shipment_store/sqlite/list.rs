//! Pages of shipments. The conditions of a filter become SQL out of a closed list; every value of a caller is a parameter.
//!
//! A page is found in `shipments`, whose rows are small: a walk along an index in the order of the list, which looks at what no index
//! answers. Only then are registrations and states read, of the shipments on the page. Each walk has a `LIMIT` ([`ListBounds`]).

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::super::{ListBounds, ListFilter, Page, PageStart, StoreError, StoredShipment, Total};
use super::Tables;
use super::read::stored;
use crate::shipment::{Timestamp, TrackingNumber};

/// By the index of the UNIQUE column.
const BY_NUMBER: &str = "shipments{g} INDEXED BY sqlite_autoindex_shipments{g}_1";
const NEWEST_FIRST: &str = "ORDER BY created_at DESC, tracking_number DESC";

pub(super) fn list(
    connection: &Connection,
    tables: &Tables,
    bounds: ListBounds,
    filter: &ListFilter,
    start: PageStart,
    limit: u32,
) -> Result<Page, StoreError> {
    let few = match &filter.prefix {
        Some(prefix) => few(connection, tables, prefix, bounds.sorted)?,
        None => false,
    };
    let wanted = u64::from(limit) + 1; // one more than the page tells whether there is a next one
    let (ids, end) = if few {
        (first(connection, tables, &page_of_few(filter, start, wanted))?, None)
    } else if filter.looks() {
        walk(connection, tables, filter, start, bounds.page, wanted)?
    } else {
        (first(connection, tables, &page(filter, start, wanted))?, None)
    };
    let total = total(connection, tables, bounds, filter, few)?;
    let found = ids.into_iter().map(|id| whole(connection, tables, id)).collect::<rusqlite::Result<_>>()?;
    Ok(Page::of(found, start, limit, end, total))
}

/// A statement and the values of its question marks in order.
pub(super) struct Query {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

/// By the index that spans the filter, in the order of the list. The planner has no statistics and would take any of them.
fn in_order(filter: &ListFilter) -> &'static str {
    match (&filter.client_id, filter.service_type) {
        (None, None) => "shipments{g} INDEXED BY shipments_by_time{g}",
        (Some(_), None) => "shipments{g} INDEXED BY shipments_by_client{g}",
        (None, Some(_)) => "shipments{g} INDEXED BY shipments_by_service{g}",
        (Some(_), Some(_)) => "shipments{g} INDEXED BY shipments_by_client_and_service{g}",
    }
}

/// The page of a filter that an index answers.
pub(super) fn page(filter: &ListFilter, start: PageStart, wanted: u64) -> Query {
    let mut query = Conditions::spanning(filter).behind(start).select("id", in_order(filter));
    query.sql += &format!(" {NEWEST_FIRST} LIMIT ? OFFSET ?");
    query.values.extend([number(wanted), number(start.offset())]);
    query
}

/// The page of a filter whose prefix few have: those are fetched and put in order.
pub(super) fn page_of_few(filter: &ListFilter, start: PageStart, wanted: u64) -> Query {
    let mut query = Conditions::spanning(filter).looking_at(filter).behind(start).select("id", BY_NUMBER);
    query.sql += &format!(" {NEWEST_FIRST} LIMIT ? OFFSET ?");
    query.values.extend([number(wanted), number(start.offset())]);
    query
}

/// The steps of a walk, at most `most`.
pub(super) fn steps(filter: &ListFilter, start: PageStart, most: u64) -> Query {
    let mut query = Conditions::spanning(filter)
        .behind(start)
        .select("id, created_at, tracking_number, current_status", in_order(filter));
    query.sql += &format!(" {NEWEST_FIRST} LIMIT ?");
    query.values.push(number(most));
    query
}

/// Counts what an index answers, up to one more than `most`.
pub(super) fn count(conditions: Conditions, most: u64) -> Query {
    let Query { sql, mut values } = conditions.select("1", "shipments{g}");
    values.push(number(most.saturating_add(1)));
    Query { sql: format!("SELECT count(*) FROM ({sql} LIMIT ?)"), values }
}

/// Whether at most `most` have the prefix.
fn few(connection: &Connection, tables: &Tables, prefix: &str, most: u64) -> Result<bool, StoreError> {
    Ok(counted(connection, tables, &count(Conditions::beginning_with(prefix), most))? <= most)
}

fn total(
    connection: &Connection,
    tables: &Tables,
    bounds: ListBounds,
    filter: &ListFilter,
    few: bool,
) -> Result<Total, StoreError> {
    if filter.is_empty() {
        // Not a row at a time: SQLite adds up what the pages of the smallest index hold, 10 ms for a million.
        let all = Query { sql: "SELECT count(*) FROM shipments{g}".to_owned(), values: Vec::new() };
        return Ok(Total::exactly(counted(connection, tables, &all)?));
    }
    let most = bounds.counted;
    if let Some(prefix) = filter.only_prefix() {
        return Ok(Total::up_to(most, counted(connection, tables, &count(Conditions::beginning_with(prefix), most))?));
    }
    if few {
        let ids = first(connection, tables, &page_of_few(filter, PageStart::Offset(0), bounds.sorted))?;
        return Ok(Total::exactly(ids.len() as u64));
    }
    if !filter.looks() {
        return Ok(Total::up_to(most, counted(connection, tables, &count(Conditions::spanning(filter), most))?));
    }
    let (ids, end) = walk(connection, tables, filter, PageStart::Offset(0), bounds.total, u64::MAX)?;
    Ok(Total { count: ids.len() as u64, is_exact: end.is_none() })
}

type Place = (Timestamp, TrackingNumber);

/// Walks at most `most` steps from `start` until `wanted` match. Says where it stopped, when there may be more behind.
fn walk(
    connection: &Connection,
    tables: &Tables,
    filter: &ListFilter,
    start: PageStart,
    most: u64,
    wanted: u64,
) -> Result<(Vec<i64>, Option<Place>), StoreError> {
    let steps = steps(filter, start, most);
    let mut statement = tables.prepare(connection, &steps.sql)?;
    let mut rows = statement.query(params_from_iter(&steps.values))?;
    let (mut ids, mut end, mut taken, mut skip) = (Vec::new(), None, 0, start.offset());
    while let Some(row) = rows.next()? {
        taken += 1;
        end = Some(place(row)?);
        let is_one = matches(row, filter)?;
        if is_one && skip > 0 {
            skip -= 1;
        } else if is_one {
            ids.push(row.get(0)?);
            if ids.len() as u64 >= wanted {
                return Ok((ids, None)); // there is one more than the page holds, behind which the next one begins
            }
        }
    }
    Ok((ids, end.filter(|_| taken >= most)))
}

/// Whether a step of a walk is on what the filter looks for.
fn matches(row: &Row<'_>, filter: &ListFilter) -> rusqlite::Result<bool> {
    let (name, status) = (row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?);
    Ok(filter.status.is_none_or(|wanted| wanted.as_str() == status)
        && filter.prefix.as_deref().is_none_or(|prefix| name.starts_with(prefix)))
}

/// Where a step of a walk is.
fn place(row: &Row<'_>) -> rusqlite::Result<Place> {
    let unreadable = |error| rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(error));
    let number = row.get_ref(2)?.as_str()?.parse().map_err(unreadable)?;
    Ok((Timestamp::from_millis(row.get(1)?), number))
}

fn first(connection: &Connection, tables: &Tables, query: &Query) -> Result<Vec<i64>, StoreError> {
    let mut statement = tables.prepare(connection, &query.sql)?;
    let found = statement.query_map(params_from_iter(&query.values), |row| row.get(0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn counted(connection: &Connection, tables: &Tables, query: &Query) -> Result<u64, StoreError> {
    let mut statement = tables.prepare(connection, &query.sql)?;
    let count: i64 = statement.query_row(params_from_iter(&query.values), |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn whole(connection: &Connection, tables: &Tables, id: i64) -> rusqlite::Result<StoredShipment> {
    let mut statement = tables.prepare(
        connection,
        "SELECT created, state FROM registrations{g} JOIN states{g} USING (id) WHERE registrations{g}.id = ?1",
    )?;
    let mut shipment = statement.query_row([id], stored)?;
    shipment.state.status_history.clear();
    shipment.state.parked.clear();
    Ok(shipment)
}

fn number(number: u64) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

/// Conditions that hold at once, and the values of their question marks in order.
#[derive(Default)]
pub(super) struct Conditions {
    terms: Vec<&'static str>,
    values: Vec<Value>,
}

impl Conditions {
    /// What an index begins and ends with.
    pub(super) fn spanning(filter: &ListFilter) -> Self {
        let mut conditions = Self::default();
        if let Some(client_id) = &filter.client_id {
            conditions.add("client_id = ?", [client_id.clone().into()]);
        }
        if let Some(service_type) = filter.service_type {
            conditions.add("service_type = ?", [service_type.as_str().to_owned().into()]);
        }
        if let Some(from) = filter.created_from {
            conditions.add("created_at >= ?", [from.as_millis().into()]);
        }
        if let Some(to) = filter.created_to {
            conditions.add("created_at < ?", [to.as_millis().into()]);
        }
        conditions
    }

    pub(super) fn beginning_with(prefix: &str) -> Self {
        let mut conditions = Self::default();
        // A range instead of LIKE: it uses the index, and % and _ are characters like others.
        let beyond = format!("{prefix}{}", char::MAX);
        conditions.add("tracking_number >= ? AND tracking_number < ?", [prefix.to_owned().into(), beyond.into()]);
        conditions
    }

    fn looking_at(mut self, filter: &ListFilter) -> Self {
        if let Some(prefix) = &filter.prefix {
            let Self { terms, values } = Self::beginning_with(prefix);
            self.terms.extend(terms);
            self.values.extend(values);
        }
        if let Some(status) = filter.status {
            self.add("current_status = ?", [status.as_str().to_owned().into()]);
        }
        self
    }

    fn behind(mut self, start: PageStart) -> Self {
        if let PageStart::After(time, number) = start {
            let place = [Value::from(time.as_millis()), Value::from(number.as_str().to_owned())];
            self.add("(created_at, tracking_number) < (?, ?)", place);
        }
        self
    }

    fn add<const N: usize>(&mut self, term: &'static str, values: [Value; N]) {
        self.terms.push(term);
        self.values.extend(values);
    }

    fn select(self, columns: &str, table: &str) -> Query {
        let conditions =
            if self.terms.is_empty() { String::new() } else { format!(" WHERE {}", self.terms.join(" AND ")) };
        Query { sql: format!("SELECT {columns} FROM {table}{conditions}"), values: self.values }
    }
}
