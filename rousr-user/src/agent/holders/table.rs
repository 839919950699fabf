//! The table of `rousr holders`: a line for each use, the process on its first.

use std::{collections::HashMap, fmt, rc::Rc};

use super::{File, Holders, Kind, ProcessUses, Use};
use crate::agent::names::{unit_name, visible};

/// A line. A thousand processes make tens of thousands, so paths are shared and nothing is formatted
/// twice.
struct Row {
    /// Cells of the columns PID, COMMAND, UNIT and CONTAINER, on the first line of a process.
    process: Option<[String; 4]>,
    way: String,
    path: Rc<str>,
}

/// What a container's identifier is cut to, as its engine's own lists do.
const SHORT_IDENTIFIER: usize = 12;

pub(super) struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub(super) fn new(holders: &Holders) -> Self {
        let Holders {
            processes, files, ..
        } = holders;
        if processes.is_empty() {
            return Self { rows: Vec::new() };
        }
        let paths: HashMap<u64, Rc<str>> =
            files.iter().map(|file| (file.inode, path(file))).collect();
        let unknown: Rc<str> = Rc::from("");
        let mut rows = vec![Row {
            process: Some(["PID", "COMMAND", "UNIT", "CONTAINER"].map(str::to_owned)),
            way: "USE".to_owned(),
            path: Rc::from("PATH"),
        }];
        for process in processes {
            let mut cells = Some(cells(process));
            rows.extend(process.uses.iter().map(|used| Row {
                process: cells.take(),
                way: way(used),
                path: Rc::clone(paths.get(&used.inode).unwrap_or(&unknown)),
            }));
        }
        Self { rows }
    }

    /// Widths in characters of the process's columns. One without a cell is left out.
    fn widths(&self) -> [usize; 4] {
        std::array::from_fn(|column| {
            let mut cells = self
                .rows
                .iter()
                .filter_map(|row| Some(&row.process.as_ref()?[column]));
            let head = cells.next().map_or(0, String::len);
            match cells.map(|cell| cell.chars().count()).max() {
                None | Some(0) => 0,
                Some(widest) => widest.max(head),
            }
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let widest = self.rows.iter().map(|row| row.way.len()).max().unwrap_or(0);
        let columns = widths[1..].iter().filter(|&&width| width > 0);
        let indent = " ".repeat(widths[0] + columns.map(|width| 2 + width).sum::<usize>());
        let gap = " ".repeat(widest + 2);
        for Row { process, way, path } in &self.rows {
            match process {
                Some(cells) => write_process(f, cells, &widths)?,
                None => f.write_str(&indent)?,
            }
            f.write_str("  ")?;
            f.write_str(way)?;
            f.write_str(&gap[way.len()..])?;
            f.write_str(path)?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}

fn write_process(
    f: &mut fmt::Formatter<'_>,
    [pid, cells @ ..]: &[String; 4],
    widths: &[usize; 4],
) -> fmt::Result {
    write!(f, "{pid:>width$}", width = widths[0])?;
    for (cell, &width) in cells.iter().zip(&widths[1..]) {
        if width > 0 {
            write!(f, "  {cell:width$}")?;
        }
    }
    Ok(())
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
        visible(&process.comm),
        unit,
        visible(container),
    ]
}

fn way(used: &Use) -> String {
    let mut way = match used.kind {
        Kind::Descriptor => format!("fd {}", numbers(&used.descriptors)),
        Kind::PathDescriptor => format!("fd {} (O_PATH)", numbers(&used.descriptors)),
        Kind::Mapping if used.mappings == 1 => "mapping".to_owned(),
        Kind::Mapping => format!("{} mappings", used.mappings),
        Kind::Executable => "executable".to_owned(),
        Kind::WorkingDirectory => "working directory".to_owned(),
        Kind::Root => "root".to_owned(),
    };
    if used.writable {
        way.push_str(", writing");
    }
    way
}

fn numbers(descriptors: &[u32]) -> String {
    let numbers: Vec<String> = descriptors.iter().map(u32::to_string).collect();
    numbers.join(",")
}

fn path(file: &File) -> Rc<str> {
    match &file.path {
        Some(path) => visible(path).into(),
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
        Table::new(&Holders {
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
        .to_string()
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
