//! The report, from the command line to its files, of the part that needs no server.

use std::process::Stdio;

use serde_json::Value;

#[tokio::test]
async fn a_short_report_of_the_embedded_mode_holds_its_figures_its_target_and_its_picture() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(["report", "--quick", "--only", "embedded", "--out"]).arg(directory.path()).stdin(Stdio::null());
    let output = command.output().await.expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(
        table.contains("| The pair, batches of 100, visible: of the bare MongoDB writer | ≥ 0.60 | — | not measured |"),
        "{table}"
    );

    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("is written");
    let report: Value = serde_json::from_str(&read("report.json")).expect("is JSON");
    assert_eq!((&report["quick"], &report["wrong"]), (&true.into(), &Value::Array(Vec::new())));
    let median = |row: &str, column: &str| {
        let figures = report["figures"].as_array().expect("a list");
        let figure =
            figures.iter().find(|one| one["section"] == "embedded" && one["row"] == row && one["column"] == column);
        figure.unwrap_or_else(|| panic!("no {row}, {column}"))["median"].as_f64().expect("a number")
    };
    let (visible, ceiling) = (median("JSON, batches of 100", "visible/s"), median("bare SQLite writer", "a second"));
    assert!(visible > 0.0 && ceiling > 0.0, "{visible} of {ceiling}");
    assert!((median("JSON, batches of 100", "of the ceiling") - visible / ceiling).abs() < 1e-9);
    assert!(median("NDJSON, batches of 1000", "accepted/s") > 0.0);
    assert!(read("report.md").contains("## Embedded, as many as go"));
    assert!(read("report.svg").contains("embedded: milliseconds by events a second"));
}
