//! The table of results: printed row by row, and written into a document if asked for.

use std::fmt::Write;
use std::path::Path;

/// Between these lines a document has the table.
const BEGIN: &str = "<!-- written by make bench-loop -->";
const END: &str = "<!-- end -->";

pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) libev_ns: f64,
    pub(crate) ours_ns: f64,
    pub(crate) floor_ns: Option<f64>,
    /// libev's and ours.
    pub(crate) instructions: Option<(f64, f64)>,
}

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn head(&self) {
        println!(
            "{:<56} {:>9} {:>9} {:>6} {:>9} {:>12} {:>12}",
            "", "libev, ns", "ours, ns", "ratio", "floor, ns", "libev, instr", "ours, instr"
        );
    }

    pub(crate) fn add(&mut self, row: Row) {
        let [libev, ours, ratio, floor, theirs, own] = row.cells();
        println!(
            "{:<56} {libev:>9} {ours:>9} {ratio:>6} {floor:>9} {theirs:>12} {own:>12}",
            row.name
        );
        self.rows.push(row);
    }

    /// Puts the table into a document, in the place of the one that is there.
    pub(crate) fn write(&self, document: &Path) -> Result<(), String> {
        let complain = |error| format!("{}: {error}", document.display());
        let text = std::fs::read_to_string(document).map_err(complain)?;
        let parts = text
            .split_once(BEGIN)
            .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
        let Some((before, after)) = parts else {
            return Err(format!("{} lacks the line {BEGIN}", document.display()));
        };
        let mut table = String::from(
            "| | libev, ns | ours, ns | ratio | floor, ns | libev, instructions | ours, instructions |\n\
             |---|---:|---:|---:|---:|---:|---:|\n",
        );
        for row in &self.rows {
            let _ = writeln!(table, "| {} | {} |", row.name, row.cells().join(" | "));
        }
        std::fs::write(document, format!("{before}{BEGIN}\n\n{table}\n{END}{after}")).map_err(complain)
    }
}

impl Row {
    fn cells(&self) -> [String; 6] {
        let number = |value: f64| format!("{value:.1}");
        let count = |value: f64| format!("{value:.0}");
        [
            number(self.libev_ns),
            number(self.ours_ns),
            format!("{:.2}", self.libev_ns / self.ours_ns),
            self.floor_ns.map(number).unwrap_or_default(),
            self.instructions.map(|(libev, _)| count(libev)).unwrap_or_default(),
            self.instructions.map(|(_, ours)| count(ours)).unwrap_or_default(),
        ]
    }
}
