//! Each statement of the contract has the test that holds it, and the table in `docs` says so.

use acceptance::coverage::{Coverage, TABLE, root};

/// With this variable set the table is written instead of compared (`make contract-coverage`).
const WRITE: &str = "RASTRO_WRITE_CONTRACT_COVERAGE";

#[test]
fn every_statement_of_the_contract_is_accounted_for_and_the_table_is_up_to_date() {
    let coverage = Coverage::of(&root()).unwrap_or_else(|problems| panic!("{}", problems.join("\n")));
    let (table, path) = (coverage.table(), root().join(TABLE));
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &table).expect("the table can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let same = written.lines().zip(table.lines()).take_while(|(written, new)| written == new).count();
    assert!(written == table, "{TABLE} is out of date from line {} on: run `make contract-coverage`", same + 1);
}
