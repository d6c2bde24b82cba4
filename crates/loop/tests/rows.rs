//! The table of rows tells the truth: every test it names exists.

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
