//! The table of `rousr holders`: a line for each use, the process on its first.
//!
//! A thousand processes make tens of thousands of lines: nothing is looked up by hash, formatted twice
//! or allocated for a line alone.

use std::{borrow::Cow, ops::Range};

use super::{File, Holders, Kind, ProcessUses, Use};
use crate::agent::names::{unit_name, visible};

/// What a container's identifier is cut to, as its engine's own lists do.
const SHORT_IDENTIFIER: usize = 12;

const HEAD: [&str; 4] = ["PID", "COMMAND", "UNIT", "CONTAINER"];

/// The table; empty where nobody uses anything.
pub(super) fn table(holders: &Holders) -> String {
    if holders.processes.is_empty() {
        return String::new();
    }
    Table::new(holders).text()
}

struct Table<'h> {
    holders: &'h Holders,
    /// By inode number, as the files are.
    paths: Vec<Cow<'h, str>>,
    /// Of each process, in the columns of [`HEAD`].
    cells: Vec<[String; 4]>,
    ways: Ways,
}

impl<'h> Table<'h> {
    fn new(holders: &'h Holders) -> Self {
        let mut ways = Ways::default();
        for used in holders.processes.iter().flat_map(|process| &process.uses) {
            ways.push(used);
        }
        Self {
            holders,
            paths: holders.files.iter().map(path).collect(),
            cells: holders.processes.iter().map(cells).collect(),
            ways,
        }
    }

    fn text(&self) -> String {
        const WAY: &str = "USE";
        let widths = self.widths();
        let widest = self.ways.widest.max(WAY.len());
        let columns = widths[1..].iter().filter(|&&width| width > 0);
        let indent = " ".repeat(widths[0] + columns.map(|width| 2 + width).sum::<usize>());
        let gap = " ".repeat(widest + 2);
        let mut text = String::with_capacity(self.ways.ranges.len() * (indent.len() + 80));
        let mut line = |process: Option<&[String; 4]>, way: &str, path: &str| {
            match process {
                Some(cells) => push_process(&mut text, cells, &widths),
                None => text.push_str(&indent),
            }
            text.push_str("  ");
            text.push_str(way);
            text.push_str(&gap[way.len()..]);
            text.push_str(path);
            text.push('\n');
        };
        line(Some(&HEAD.map(str::to_owned)), WAY, "PATH");
        let mut ways = self.ways.iter();
        for (process, cells) in self.holders.processes.iter().zip(&self.cells) {
            let mut cells = Some(cells);
            for (used, way) in process.uses.iter().zip(&mut ways) {
                line(cells.take(), way, self.path(used.inode));
            }
        }
        text
    }

    fn path(&self, inode: u64) -> &str {
        let found = self
            .holders
            .files
            .binary_search_by_key(&inode, |file| file.inode);
        found.map_or("", |index| &self.paths[index])
    }

    /// Widths in characters of the process's columns. One without a cell is left out.
    fn widths(&self) -> [usize; 4] {
        std::array::from_fn(|column| {
            let cells = self.cells.iter().map(|cells| &cells[column]);
            match cells.map(|cell| cell.chars().count()).max() {
                None | Some(0) => 0,
                Some(widest) => widest.max(HEAD[column].len()),
            }
        })
    }
}

/// How each use is told, one after another.
#[derive(Default)]
struct Ways {
    text: String,
    ranges: Vec<Range<usize>>,
    widest: usize,
}

impl Ways {
    fn push(&mut self, used: &Use) {
        let start = self.text.len();
        push_way(&mut self.text, used);
        let end = self.text.len();
        self.widest = self.widest.max(end - start);
        self.ranges.push(start..end);
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.ranges.iter().map(|range| &self.text[range.clone()])
    }
}

fn push_way(text: &mut String, used: &Use) {
    match used.kind {
        Kind::Descriptor => push_descriptors(text, &used.descriptors),
        Kind::PathDescriptor => {
            push_descriptors(text, &used.descriptors);
            text.push_str(" (O_PATH)");
        }
        Kind::Mapping if used.mappings == 1 => text.push_str("mapping"),
        Kind::Mapping => {
            push_number(text, used.mappings);
            text.push_str(" mappings");
        }
        Kind::Executable => text.push_str("executable"),
        Kind::WorkingDirectory => text.push_str("working directory"),
        Kind::Root => text.push_str("root"),
        Kind::Within => text.push_str("a file in it"),
        Kind::WorkingWithin => text.push_str("working directory in it"),
    }
    if used.writable {
        text.push_str(", writing");
    }
}

fn push_descriptors(text: &mut String, descriptors: &[u32]) {
    let mut before = "fd ";
    for &descriptor in descriptors {
        text.push_str(before);
        push_number(text, descriptor);
        before = ",";
    }
}

fn push_number(text: &mut String, number: u32) {
    text.push_str(itoa::Buffer::new().format(number));
}

fn push_process(text: &mut String, [pid, cells @ ..]: &[String; 4], widths: &[usize; 4]) {
    text.push_str(&format!("{pid:>width$}", width = widths[0]));
    for (cell, &width) in cells.iter().zip(&widths[1..]) {
        if width > 0 {
            text.push_str(&format!("  {cell:width$}"));
        }
    }
}

fn cells(process: &ProcessUses) -> [String; 4] {
    let unit = process.unit.as_deref();
    let unit = unit.map_or_else(|| "-".to_owned(), |unit| unit_name(unit, process.unit_user));
    let container = process.container.as_deref().unwrap_or_default();
    let is_identifier =
        container.len() == 64 && container.bytes().all(|byte| byte.is_ascii_hexdigit());
    let container = if is_identifier {
        &container[..SHORT_IDENTIFIER]
    } else {
        container
    };
    [
        process.pid.to_string(),
        visible(&process.comm).into_owned(),
        unit,
        visible(container).into_owned(),
    ]
}

fn path(file: &File) -> Cow<'_, str> {
    match &file.path {
        Some(path) => visible(path),
        None => format!("inode {}", file.inode).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::survey::Source;

    fn used(kind: Kind, inode: u64) -> Use {
        Use {
            inode,
            kind,
            descriptors: Vec::new(),
            mappings: 0,
            writable: false,
        }
    }

    fn process(pid: u32, uses: Vec<Use>) -> ProcessUses {
        ProcessUses {
            pid,
            start_time: 1,
            comm: "sleep".to_owned(),
            executable: None,
            unit: Some("x.service".to_owned()),
            unit_user: None,
            container: None,
            uses,
        }
    }

    fn table(processes: Vec<ProcessUses>) -> String {
        let file = |inode, path: Option<&str>| File {
            inode,
            path: path.map(str::to_owned),
        };
        super::table(&Holders {
            mount_point: "/usr".to_owned(),
            source: Source::Bpf,
            warnings: Vec::new(),
            files: vec![
                file(1, Some("/usr/bin/sleep")),
                file(2, Some("/usr/a\nb")),
                file(42, None),
            ],
            processes,
        })
    }

    #[test]
    fn a_process_stands_on_its_first_line() {
        let uses = vec![
            used(Kind::Executable, 1),
            Use {
                mappings: 5,
                ..used(Kind::Mapping, 1)
            },
            Use {
                descriptors: vec![3, 14],
                writable: true,
                ..used(Kind::Descriptor, 42)
            },
        ];
        let mut other = process(1234, vec![used(Kind::Root, 2)]);
        other.unit_user = Some(1000);
        let table = table(vec![process(7, uses), other]);
        let expected = " PID  COMMAND  UNIT                   USE               PATH
   7  sleep    x.service              executable        /usr/bin/sleep
                                      5 mappings        /usr/bin/sleep
                                      fd 3,14, writing  inode 42
1234  sleep    x.service (user 1000)  root              /usr/a\\nb
";
        assert_eq!(table, expected);
    }

    #[test]
    fn containers_have_a_column_where_there_is_one() {
        let mut contained = process(7, vec![used(Kind::Mapping, 42)]);
        contained.container = Some("0123456789abcdef".repeat(4));
        let table = table(vec![contained]);
        let expected = "\
PID  COMMAND  UNIT       CONTAINER     USE         PATH
  7  sleep    x.service  0123456789ab  0 mappings  inode 42
";
        assert_eq!(table, expected);
        assert_eq!(self::table(Vec::new()), "");
    }
}
