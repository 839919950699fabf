//! What this process itself runs that is not what a new one would.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Files of the filesystem at `top` that this process has mapped and that have no name left but a hold's,
/// by their paths as the kernel shows them. `is_held` tells whether an inode has a hold.
///
/// /proc/PID/maps alone does not tell: it calls a preserved file deleted, too.
///
/// # Errors
///
/// Fails where the mappings cannot be listed.
pub fn replaced(top: &Path, is_held: impl Fn(u64) -> bool) -> io::Result<BTreeSet<PathBuf>> {
    let device = fs::metadata(top)?.dev();
    let mut replaced = BTreeSet::new();
    for mapping in fs::read_dir("/proc/self/map_files")? {
        let link = mapping?.path();
        // It may be unmapped meanwhile.
        let Ok(file) = fs::metadata(&link) else {
            continue;
        };
        let is_gone = match file.nlink() {
            0 => true,
            1 => is_held(file.ino()),
            _ => false,
        };
        if file.dev() == device && is_gone {
            replaced.insert(fs::read_link(&link).unwrap_or(link));
        }
    }
    Ok(replaced)
}

#[cfg(test)]
mod root {
    use std::process::Command;

    use super::*;

    #[test]
    fn an_intact_program_is_not() {
        let exe = std::env::current_exe().expect("a program");
        let inode = fs::metadata(&exe).expect("exists").ino();
        let none = replaced(&exe, |_| false).expect("mappings");
        assert_eq!(none, BTreeSet::new());
        let links = fs::metadata(&exe).expect("exists").nlink();
        let held = replaced(&exe, |held| held == inode).expect("mappings");
        assert_eq!(held.contains(&exe), links == 1);
    }

    /// A copy of this test removes itself and looks again.
    #[test]
    fn a_removed_program_is() {
        const REMOVED: &str = "ROUSR_TEST_REMOVED";
        if std::env::var_os(REMOVED).is_some() {
            let exe = std::env::current_exe().expect("a program");
            let folder = exe.parent().expect("a folder").to_owned();
            fs::remove_file(&exe).expect("removed");
            let found = replaced(&folder, |_| false).expect("mappings");
            let name = format!("{} (deleted)", exe.display());
            assert_eq!(found, BTreeSet::from([PathBuf::from(name)]));
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let copy = folder.path().join("copy");
        fs::copy(std::env::current_exe().expect("a program"), &copy).expect("copied");
        let ended = Command::new(&copy)
            .args(["--exact", "track::replaced::root::a_removed_program_is"])
            .env(REMOVED, "1")
            .output()
            .expect("runs");
        assert!(ended.status.success(), "{ended:?}");
    }
}
