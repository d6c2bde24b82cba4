//! The table of rows tells the truth: every row is there, and every test it names exists.

use std::collections::BTreeSet;
use std::path::Path;

/// Every `file::test` there is.
fn existing(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).expect("a directory of the crate") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            existing(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("text");
            for line in text.lines() {
                if let Some((name, _)) = line
                    .trim_start()
                    .strip_prefix("fn ")
                    .and_then(|rest| rest.split_once('('))
                {
                    found.insert(format!("{file}::{name}"));
                }
            }
        }
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    existing(&root.join("tests"), &mut found);
    existing(&root.join("src"), &mut found);
    let table = std::fs::read_to_string(root.join("ROWS.md")).expect("the table");
    let mut named = 0;
    for quoted in table
        .lines()
        .filter(|line| line.starts_with("| LV-"))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
    {
        let Some((file, _)) = quoted.split_once("::") else {
            continue;
        };
        if file.chars().all(|character| character.is_ascii_lowercase()) {
            named += 1;
            assert!(found.contains(quoted), "the table names {quoted}, which is nowhere");
        }
    }
    assert!(named > 100, "only {named} tests named");
}

/// The rows, by the letters and numbers of the behaviour tables.
const ROWS: [(&str, u32); 26] = [
    ("C", 11),
    ("L", 21),
    ("R", 36),
    ("Q", 13),
    ("W", 10),
    ("IO", 12),
    ("T", 10),
    ("P", 10),
    ("S", 5),
    ("CH", 7),
    ("ST", 8),
    ("I", 3),
    ("PR", 1),
    ("CK", 2),
    ("A", 3),
    ("F", 1),
    ("E", 2),
    ("CL", 1),
    ("D", 8),
    ("B", 13),
    ("X", 5),
    // What Python sees.
    ("GV-0", 7),
    ("GV-1", 9),
    ("GV-3", 8),
    ("GV-4", 9),
    ("GV-6", 9),
];

#[test]
fn every_row_is_named() {
    let table = include_str!("../ROWS.md");
    let named: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .collect();
    for (letters, count) in ROWS {
        for number in 1..=count {
            let (short, long) = match letters.strip_prefix("GV-") {
                Some(_) => (format!("{letters}{number}"), String::new()),
                None => (format!("LV-{letters}{number}"), format!("LV-{letters}{number:02}")),
            };
            assert!(
                named.contains(short.as_str()) || named.contains(long.as_str()),
                "{short} is not in the table"
            );
        }
    }
}
