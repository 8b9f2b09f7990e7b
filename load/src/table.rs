//! Tables for people: aligned text, or Markdown.

#[derive(Clone, Debug, Default)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|&name| name.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; what is missing stays empty.
    pub fn row(&mut self, mut cells: Vec<String>) {
        cells.resize(self.head.len(), String::new());
        self.rows.push(cells);
    }

    /// Aligned columns: numbers to the right, words to the left.
    pub fn text(&self) -> String {
        let widths = self.widths();
        let numbers: Vec<_> = (0..self.head.len()).map(|c| self.is_number(c)).collect();
        let lines = std::iter::once(&self.head).chain(&self.rows).map(|cells| {
            let columns = cells.iter().zip(widths.iter().zip(&numbers));
            let padded = columns.map(|(cell, (&width, &number))| match number {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            });
            let line: Vec<_> = padded.collect();
            line.join("  ").trim_end().to_owned() + "\n"
        });
        lines.collect()
    }

    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<_> = (0..self.head.len())
            .map(|column| {
                if self.is_number(column) {
                    "---:"
                } else {
                    "---"
                }
            })
            .map(ToOwned::to_owned)
            .collect();
        let rows = self.rows.iter().map(|cells| line(cells));
        [line(&self.head), line(&rule)]
            .into_iter()
            .chain(rows)
            .collect()
    }

    /// Whether a column has numbers, as far as it has anything.
    fn is_number(&self, column: usize) -> bool {
        let cells = self.rows.iter().filter_map(|cells| cells.get(column));
        let number = |cell: &String| cell.starts_with(|first: char| first.is_ascii_digit());
        column > 0 && cells.filter(|cell| !cell.is_empty()).all(number)
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = std::iter::once(&self.head).chain(&self.rows);
            let cells = cells.filter_map(|cells| cells.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        (0..self.head.len()).map(width).collect()
    }
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A rate per second, in whole numbers.
pub fn rate(per_second: f64) -> String {
    grouped(per_second.round().max(0.0) as u64)
}

/// Milliseconds, with as many digits as mean something.
pub fn millis(ms: f64) -> String {
    match ms {
        ms if ms >= 100.0 => format!("{ms:.0}"),
        ms if ms >= 10.0 => format!("{ms:.1}"),
        ms => format!("{ms:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned() {
        let mut table = Table::new(&["what", "n", "note"]);
        table.row(vec!["a".to_owned(), grouped(1_234_567), "b".to_owned()]);
        table.row(vec!["longer".to_owned()]);
        assert_eq!(
            table.text(),
            "what            n  note\na       1,234,567  b\nlonger\n"
        );
        assert_eq!(
            table.markdown(),
            "| what | n | note |\n| --- | ---: | --- |\n| a | 1,234,567 | b |\n| longer |  |  |\n"
        );
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [grouped(0), grouped(999), grouped(1_000)],
            ["0", "999", "1,000"]
        );
        assert_eq!(
            [millis(0.126), millis(12.34), millis(1234.5)],
            ["0.13", "12.3", "1234"]
        );
        assert_eq!(rate(19_999.6), "20,000");
    }
}
