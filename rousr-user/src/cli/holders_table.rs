//! The table of `rousr holders`: a line for each use, the process on its first.

use std::{collections::HashMap, fmt};

use crate::agent::holders::{Holders, Kind, ProcessUses, Use};

/// Cells of the columns PID, COMMAND, UNIT, CONTAINER, USE, PATH.
type Row = [String; 6];

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
        let paths: HashMap<u64, &str> = files
            .iter()
            .filter_map(|file| Some((file.inode, file.path.as_deref()?)))
            .collect();
        let head = ["PID", "COMMAND", "UNIT", "CONTAINER", "USE", "PATH"];
        let mut rows = vec![head.map(str::to_owned)];
        for process in processes {
            let mut cells = cells(process);
            for used in &process.uses {
                let [pid, command, unit, container] = std::mem::take(&mut cells);
                rows.push([pid, command, unit, container, way(used), path(used, &paths)]);
            }
        }
        Self { rows }
    }

    /// Widths in characters; the last column needs none. A column without a cell is left out.
    fn widths(&self) -> [usize; 5] {
        std::array::from_fn(|column| {
            let cells = self.rows.iter().skip(1).map(|row| &row[column]);
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            match widest {
                0 => 0,
                widest => widest.max(self.rows[0][column].len()),
            }
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for [pid, cells @ .., path] in &self.rows {
            write!(f, "{pid:>width$}", width = widths[0])?;
            for (cell, &width) in cells.iter().zip(&widths[1..]) {
                if width > 0 {
                    write!(f, "  {cell:width$}")?;
                }
            }
            writeln!(f, "  {path}")?;
        }
        Ok(())
    }
}

fn cells(process: &ProcessUses) -> [String; 4] {
    let unit = match (&process.unit, process.unit_user) {
        (Some(unit), Some(user)) => format!("{unit} (user {user})"),
        (Some(unit), None) => unit.clone(),
        (None, _) => "-".to_owned(),
    };
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
        container.to_owned(),
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

fn path(used: &Use, paths: &HashMap<u64, &str>) -> String {
    match paths.get(&used.inode) {
        Some(path) => visible(path),
        None => format!("inode {}", used.inode),
    }
}

/// Keeps a line a line, whatever a name holds.
fn visible(name: &str) -> String {
    name.chars()
        .flat_map(|character| {
            let escaped = character.is_control().then(|| character.escape_default());
            let plain = escaped.is_none().then_some(character);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{agent::holders::File, track::survey::Source};

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
        let file = |inode, path: &str| File {
            inode,
            path: Some(path.to_owned()),
        };
        Table::new(&Holders {
            mount_point: "/usr".to_owned(),
            source: Source::Bpf,
            warnings: Vec::new(),
            files: vec![file(1, "/usr/bin/sleep"), file(2, "/usr/a\nb")],
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
