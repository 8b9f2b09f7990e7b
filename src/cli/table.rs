//! Columns for people, and text that can do nothing to a terminal.

/// Lines of columns as wide as their widest cell; the first row is the head.
pub(super) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths);
        let cells = cells.map(|(cell, &width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    });
    lines.collect()
}

/// At most `most` characters of what somebody else wrote; control characters are escaped.
pub(super) fn shown(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut characters = text.chars();
    let mut shown = String::new();
    for character in characters.by_ref().take(most) {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let row = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect();
        let rows = [row(&["A", "LONG"]), row(&["über", "x"]), row(&["y"])];
        assert_eq!(aligned(&rows), "A     LONG\nüber  x\ny\n");
    }

    #[test]
    fn a_terminal_is_not_steered() {
        let table = [
            (&b"plain"[..], 9, "plain"),
            (b"\x1b[2J\n\0", 9, "\\u{1b}[2J\\n\\u{0}"),
            (b"\xff", 9, "\u{fffd}"),
            (b"12345", 3, "123…"),
        ];
        for (bytes, most, expected) in table {
            assert_eq!(shown(bytes, most), expected);
        }
    }
}
