//! Who uses what, by three iterators in one pass each: descriptors, mappings, processes.

use std::{fs::File, io};

use rousr_ebpf::{TaskVisit, Visit};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{join::Join, pass};
use crate::track::{control_group, survey::Survey};

/// Iterators that are ready to run; in any thread, as they share nothing with the tracker.
#[derive(Debug)]
pub struct Visits {
    pub(super) files: File,
    pub(super) mappings: File,
    pub(super) tasks: File,
}

impl Visits {
    /// Runs the passes and tells what all processes use of the tracked superblock, whose `st_dev`
    /// is `device`. Touches no file of a process, so none can block it.
    ///
    /// # Errors
    ///
    /// Fails where the kernel has no memory for a pass.
    pub fn survey(self, device: u64) -> io::Result<Survey> {
        let files = pass::read(&self.files)?;
        let mappings = pass::read(&self.mappings)?;
        // Last: whoever has a descriptor or a mapping by then has not ended, or is left out.
        let tasks = pass::read(&self.tasks)?;

        let mut join = Join::new(device);
        records::<TaskVisit>(&tasks).for_each(|task| join.task(&task));
        records::<Visit>(&files).for_each(|visit| join.descriptor(&visit));
        records::<Visit>(&mappings).for_each(|visit| join.mapping(&visit));
        let found = join.finish();
        let groups = control_group::paths(found.control_groups());
        Ok(found.survey(&groups))
    }
}

/// The records of a pass; a torn last one, which the kernel does not write, is dropped.
fn records<R: FromBytes + KnownLayout + Immutable>(output: &[u8]) -> impl Iterator<Item = R> {
    output
        .chunks_exact(size_of::<R>())
        .filter_map(|record| R::read_from_bytes(record).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rousr_ebpf::InodeVisit;

    use super::*;

    #[test]
    fn the_records_are_as_the_kernel_side_writes_them() {
        // No padding: what BPF writes is initialised, byte for byte.
        assert_eq!(size_of::<InodeVisit>(), 16);
        assert_eq!(size_of::<Visit>(), 48);
        assert_eq!(size_of::<TaskVisit>(), 96);
        let mut output = Vec::new();
        for word in [10_u64, 3, 1 << 32 | 7, 5, 42, 0o100_644 << 32 | 2] {
            output.extend(word.to_ne_bytes());
        }
        let visit = Visit {
            started: 10,
            value: 3,
            group: 7,
            flags: 1,
            times: 5,
            inode: InodeVisit {
                number: 42,
                links: 2,
                mode: 0o100_644,
            },
        };
        assert_eq!(Vec::from_iter(records::<Visit>(&output)), [visit]);
    }

    proptest! {
        #[test]
        fn a_torn_record_is_dropped_and_garbage_is_survived(
            tasks in prop::collection::vec(any::<u8>(), 0..600),
            visits in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            prop_assert_eq!(records::<Visit>(&visits).count(), visits.len() / size_of::<Visit>());
            let mut join = Join::new(1);
            records::<TaskVisit>(&tasks).for_each(|task| join.task(&task));
            records::<Visit>(&visits).for_each(|visit| join.descriptor(&visit));
            records::<Visit>(&visits).for_each(|visit| join.mapping(&visit));
            let survey = join.finish().survey(&Default::default());
            prop_assert!(survey.users.len() <= tasks.len() / size_of::<TaskVisit>());
        }
    }
}
