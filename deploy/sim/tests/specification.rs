//! The specification stays as short as something that people are to trust has to be.

use std::fs;

/// Lines of code that a person reads in an hour.
const MOST: usize = 800;

#[test]
fn the_specification_is_read_in_one_go() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/specification");
    let files = fs::read_dir(folder).expect("is there").map(|file| file.expect("can be listed").path());
    let texts: Vec<String> = files.map(|path| fs::read_to_string(path).expect("is text")).collect();
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    let lines = texts.iter().flat_map(|text| text.lines()).filter(is_code).count();
    assert!((100..MOST).contains(&lines), "{lines} lines of code");
}
