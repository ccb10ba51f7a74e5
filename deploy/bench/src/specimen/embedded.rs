//! What `rastro` writes: rows of the tables of its file.

use std::path::Path;

use acceptance::platform::Platform;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags};

use super::{Journey, awaited, expect};
use crate::failure::Failure;
use crate::numbers::Suffix;
use crate::template::Template;

/// The file in the data directory.
pub const FILE: &str = "rastro.sqlite";

/// A row of a table.
#[derive(Clone, Debug)]
pub struct Row {
    /// The statement that inserts it.
    pub insert: String,
    columns: Vec<String>,
    cells: Vec<Cell>,
}

#[derive(Clone, Debug)]
enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(Template),
    Blob(Template),
}

/// What one move of a shipment is in each table.
#[derive(Clone, Debug)]
pub struct Move {
    /// The row of `log_events`.
    pub record: Row,
    /// The row of `status_events`.
    pub row: Row,
    /// The row of `log_changes`.
    pub change: Row,
    /// The column `current_status` of `shipments` afterwards.
    pub status: String,
    /// The column `state` of `states` afterwards.
    pub state: Template,
}

/// A shipment of `rastro`.
#[derive(Clone, Debug)]
pub struct EmbeddedSpecimen {
    /// The statements that make the tables and their indexes.
    pub schema: Vec<String>,
    /// The tracking number.
    pub number: String,
    /// Its rows after the registration: of `shipments`, `registrations` and `states`.
    pub shipment: Vec<Row>,
    /// Its moves.
    pub moves: Vec<Move>,
}

impl Row {
    /// The values for another shipment, with these integers in the columns that they name.
    #[must_use]
    pub fn values(&self, suffix: Suffix, integers: &[(&str, i64)]) -> Vec<Value> {
        let value = |(column, cell): (&String, &Cell)| {
            if let Some((_, integer)) = integers.iter().find(|(name, _)| name == column) {
                return Value::Integer(*integer);
            }
            match cell {
                Cell::Null => Value::Null,
                Cell::Integer(integer) => Value::Integer(*integer),
                Cell::Real(real) => Value::Real(*real),
                Cell::Text(text) => Value::Text(text.text(suffix)),
                Cell::Blob(bytes) => Value::Blob(bytes.stamp(suffix)),
            }
        };
        self.columns.iter().zip(&self.cells).map(value).collect()
    }
}

impl Row {
    /// The same row; when it is a state's, older than any record.
    fn before_all_records(mut self) -> Result<Self, Failure> {
        for (column, cell) in self.columns.iter().zip(&mut self.cells) {
            if let (Cell::Text(text), "state") = (&mut *cell, column.as_str()) {
                *cell = Cell::Text(text.clone().before_all_records_in_json()?);
            }
        }
        Ok(self)
    }
}

impl EmbeddedSpecimen {
    /// Starts `rastro`, brings a shipment through its moves, and reads everything that was written about it.
    ///
    /// # Errors
    /// It does not do that, or writes what is not understood here.
    pub async fn take() -> Result<Self, Failure> {
        let platform = Platform::embedded().await;
        let mut journey = Journey::begin(&platform).await?;
        let number = journey.number.clone();
        let file = File::open(&platform.data_directory().join(FILE), &number)?;
        let shipment = file.shipment()?;
        let mut states = Vec::new();
        for index in 0..journey.steps.len() {
            journey.step(index).await?;
            states.push(file.state()?);
        }
        let moves = states.len();
        // The first row of each is the registration's.
        let log = async |table: &str| {
            let of_number = format!("SELECT * FROM {table} WHERE CAST(key AS TEXT) = ?1 ORDER BY offset");
            let rows = awaited(table, moves + 1, async || file.rows(&of_number, table)).await?;
            Ok::<_, Failure>(rows.into_iter().skip(1))
        };
        let of_number = "SELECT * FROM status_events WHERE row_id BETWEEN ?1 || ':' AND ?1 || ';' ORDER BY offset";
        let rows = expect("rows", moves + 1, file.rows(of_number, "status_events")?)?.into_iter().skip(1);
        let parts = log("log_events").await?.zip(rows).zip(log("log_changes").await?).zip(states);
        let moves = parts.map(|(((record, row), change), (status, state))| Move { record, row, change, status, state });
        Ok(Self { schema: file.schema()?, shipment, moves: moves.collect(), number })
    }
}

/// The file of a `rastro` that runs, for reading.
struct File<'a> {
    connection: Connection,
    number: &'a str,
}

impl<'a> File<'a> {
    fn open(path: &Path, number: &'a str) -> Result<Self, Failure> {
        Ok(Self { connection: Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?, number })
    }

    fn schema(&self) -> Result<Vec<String>, Failure> {
        let mut statement = self
            .connection
            .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")?;
        let statements = statement.query_map([], |row| row.get(0))?;
        Ok(statements.collect::<Result<_, _>>()?)
    }

    /// The rows that `select` finds for the number, as rows of `table`.
    fn rows(&self, select: &str, table: &str) -> Result<Vec<Row>, Failure> {
        let mut statement = self.connection.prepare(select)?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let marks: Vec<_> = (1..=columns.len()).map(|index| format!("?{index}")).collect();
        let insert = format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), marks.join(", "));
        let mut found = statement.query([self.number])?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            let cells = (0..columns.len()).map(|index| self.cell(row.get_ref(index)?));
            rows.push(Row {
                insert: insert.clone(),
                columns: columns.clone(),
                cells: cells.collect::<Result<_, _>>()?,
            });
        }
        Ok(rows)
    }

    fn cell(&self, value: ValueRef<'_>) -> Result<Cell, Failure> {
        Ok(match value {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(integer) => Cell::Integer(integer),
            ValueRef::Real(real) => Cell::Real(real),
            ValueRef::Text(text) => Cell::Text(Template::of(text, self.number)?),
            ValueRef::Blob(bytes) => Cell::Blob(Template::of(bytes, self.number)?),
        })
    }

    fn shipment(&self) -> Result<Vec<Row>, Failure> {
        let mut rows = self.rows("SELECT * FROM shipments WHERE tracking_number = ?1", "shipments")?;
        for table in ["registrations", "states"] {
            let select =
                format!("SELECT * FROM {table} WHERE id = (SELECT id FROM shipments WHERE tracking_number = ?1)");
            rows.extend(self.rows(&select, table)?);
        }
        let rows = expect("rows of a shipment", 3, rows)?;
        // The state holds its position, too.
        rows.into_iter().map(Row::before_all_records).collect()
    }

    /// Status and state.
    fn state(&self) -> Result<(String, Template), Failure> {
        let select = "SELECT current_status, state FROM shipments JOIN states USING (id) WHERE tracking_number = ?1";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        let (status, state) = self.connection.query_row(select, [self.number], row)?;
        Ok((status, Template::of(state, self.number)?))
    }
}
