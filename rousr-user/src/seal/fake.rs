//! A kernel that consists of two flags, their blockers and a list of calls that it refuses.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::sys::{
    mount::{MountState, Mounts},
    namespace::Foreign,
};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Call {
    Open,
    State,
    SetMountReadOnly,
    ClearMountReadOnly,
    SetSuperblockReadOnly,
    ClearSuperblockReadOnly,
    CloneMount,
    Elsewhere,
    SealForeign,
}

impl Call {
    /// Those that concern the visible mount and its clones.
    pub(crate) const ALL: [Self; 7] = [
        Self::Open,
        Self::State,
        Self::SetMountReadOnly,
        Self::ClearMountReadOnly,
        Self::SetSuperblockReadOnly,
        Self::ClearSuperblockReadOnly,
        Self::CloneMount,
    ];
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) state: MountState,
    /// Inodes without a name that are in use.
    pub(crate) orphans: u32,
    /// Files open for writing through the visible mount.
    pub(crate) writers: u32,
    /// Files open for writing through mounts elsewhere.
    pub(crate) writers_elsewhere: u32,
    /// Read-only flags of the clones that are alive.
    pub(crate) clones: BTreeMap<u32, bool>,
    clones_made: u32,
    /// Mounts in other namespaces that are writable.
    pub(crate) foreign: Vec<Foreign>,
    /// The directory that every mount shows; none where only the flags matter.
    pub(crate) root: Option<PathBuf>,
    /// Calls that fail, with which errno.
    pub(crate) refused: BTreeMap<Call, i32>,
    /// Errnos for the next calls, one each: `None` lets a call through, and so does the end.
    pub(crate) script: VecDeque<Option<i32>>,
    /// The calls that were let through.
    pub(crate) done: Vec<Call>,
    /// Whether a write through the visible mount could ever have succeeded.
    pub(crate) was_writable: bool,
}

impl Model {
    pub(crate) fn writable(&self) -> bool {
        !self.state.mount_read_only && !self.state.superblock_read_only
    }

    pub(crate) fn writable_through_a_clone(&self) -> bool {
        !self.state.superblock_read_only && self.clones.values().any(|read_only| !read_only)
    }

    fn refuse(&mut self, call: Call) -> io::Result<()> {
        let scripted = self.script.pop_front().flatten();
        match scripted.or(self.refused.get(&call).copied()) {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => {
                self.done.push(call);
                Ok(())
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FakeMounts(pub(crate) Rc<RefCell<Model>>);

pub(crate) struct FakeMount {
    kernel: FakeMounts,
    clone: Option<u32>,
    handle: File,
}

impl FakeMount {
    fn new(kernel: &FakeMounts, clone: Option<u32>, root: Option<&Path>) -> io::Result<Self> {
        let root = root.unwrap_or(Path::new("/dev/null"));
        Ok(Self {
            kernel: kernel.clone(),
            clone,
            handle: File::open(root)?,
        })
    }
}

impl AsFd for FakeMount {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

impl Drop for FakeMount {
    fn drop(&mut self) {
        if let Some(clone) = self.clone {
            self.kernel.0.borrow_mut().clones.remove(&clone);
        }
    }
}

fn busy_if(blocked: bool) -> io::Result<()> {
    if blocked {
        Err(io::Error::from_raw_os_error(libc::EBUSY))
    } else {
        Ok(())
    }
}

impl Mounts for FakeMounts {
    type Mount = FakeMount;

    fn open(&self, _: &Path) -> io::Result<FakeMount> {
        let mut model = self.0.borrow_mut();
        model.refuse(Call::Open)?;
        FakeMount::new(self, None, model.root.as_deref())
    }

    fn state(&self, mount: &FakeMount) -> io::Result<MountState> {
        assert_eq!(mount.clone, None, "a clone is in no mountinfo");
        let mut model = self.0.borrow_mut();
        model.refuse(Call::State)?;
        Ok(model.state)
    }

    fn set_mount_read_only(&self, mount: &FakeMount, read_only: bool) -> io::Result<()> {
        let mut model = self.0.borrow_mut();
        model.refuse(if read_only {
            Call::SetMountReadOnly
        } else {
            Call::ClearMountReadOnly
        })?;
        match mount.clone {
            Some(clone) => {
                model.clones.insert(clone, read_only);
            }
            None => {
                busy_if(read_only && model.writers > 0)?;
                model.state.mount_read_only = read_only;
            }
        }
        model.was_writable |= model.writable();
        Ok(())
    }

    fn set_superblock_read_only(&self, _: &FakeMount, read_only: bool) -> io::Result<()> {
        let mut model = self.0.borrow_mut();
        model.refuse(if read_only {
            Call::SetSuperblockReadOnly
        } else {
            Call::ClearSuperblockReadOnly
        })?;
        // Like reconfigure_super: nothing is in the way of what is the case.
        let blocked = model.orphans + model.writers + model.writers_elsewhere > 0;
        busy_if(read_only && !model.state.superblock_read_only && blocked)?;
        model.state.superblock_read_only = read_only;
        model.was_writable |= model.writable();
        Ok(())
    }

    fn clone_mount(&self, _: &FakeMount) -> io::Result<FakeMount> {
        let mut model = self.0.borrow_mut();
        model.refuse(Call::CloneMount)?;
        model.clones_made += 1;
        let (clone, read_only) = (model.clones_made, model.state.mount_read_only);
        model.clones.insert(clone, read_only);
        FakeMount::new(self, Some(clone), model.root.as_deref())
    }

    fn writable_elsewhere(&self, _: &FakeMount) -> io::Result<Vec<Foreign>> {
        let mut model = self.0.borrow_mut();
        model.refuse(Call::Elsewhere)?;
        Ok(model.foreign.clone())
    }

    fn seal_foreign(&self, foreign: &Foreign) -> io::Result<()> {
        let mut model = self.0.borrow_mut();
        model.refuse(Call::SealForeign)?;
        model.foreign.retain(|other| other != foreign);
        Ok(())
    }
}
