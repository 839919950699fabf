//! Before dpkg runs: a hold for every inode that is about to lose its name.

use std::{
    collections::{HashMap, HashSet},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{
    Error, Keeper, Opener, Outcome,
    dropped::free_directories,
    error::failed,
    history::{Package, What},
};
use crate::{
    dpkg::{
        candidates::{Losing, candidates},
        database::View,
        hook::{Action, Stream},
    },
    hold::{Candidate, Origin, Preserved, Store, ledger::Record},
    seal::Level,
    sys::{lease::Leases, links::Links, mount::Mounts},
    track::procfs,
};

/// Warnings told one by one; the rest is counted.
const TOLD: usize = 10;

impl<M: Mounts, L: Links + Clone, S: Leases> Keeper<M, L, S> {
    /// Makes holds for the files that the transaction in apt's hook stream replaces or removes, and
    /// for every file of the volume that is in use: triggers rewrite files that no package lists.
    ///
    /// # Errors
    ///
    /// Fails only where no hold at all can be made; what else goes wrong is a warning.
    pub fn preserve(&self, stream: &[u8]) -> Result<Outcome, Error> {
        let _lock = self.lock()?;
        let wanted = self.wanted()?;
        if wanted == Level::Open {
            // Nothing will be sealed, so nothing can block it.
            return self.outcome(wanted);
        }
        let mut warnings = Vec::new();
        let (stream, bad) = Stream::parse_lenient(stream);
        warn(&mut warnings, bad.iter().map(ToString::to_string));
        let view = self.view(&mut warnings);
        let losing = view.as_ref().map_or_else(Vec::new, |view| {
            self.losing(&stream.actions, view, &mut warnings)
        });
        let mount = self.seal.open()?;
        let store = Store::create(self.links.clone(), mount.as_fd(), &self.volume.mount_point)?;
        if let Err(error) = self.resume_taking(None, &mut warnings) {
            warnings.push(error.to_string());
        }
        let files = (losing.iter())
            .map(|package| package.files.len() as u64)
            .sum();
        let listed = store.preserve(losing.into_iter().flat_map(with_origin));
        let used = self.in_use().unwrap_or_else(|error| {
            warnings.push(error.to_string());
            HashMap::new()
        });
        let in_use = store.preserve_open(used.values().cloned());
        let now = SystemTime::now();
        let known = listed.names.iter().map(|name| name.inode);
        let known: HashSet<u64> = known.filter(|inode| used.contains_key(inode)).collect();
        // What a package lists is known better by it than by who uses it.
        let others = in_use
            .names
            .iter()
            .filter(|name| !known.contains(&name.inode));
        let names = listed.names.iter().chain(others);
        let records = names.map(|name| Record::preserved(name, now));
        self.annotate(records, &mut warnings);
        for preserved in [&listed, &in_use] {
            tell(preserved, &mut warnings);
        }
        if let Some(view) = &view {
            free_directories(&store, &stream.actions, view, &listed, &used, &mut warnings);
        }
        let holds = listed.held + in_use.held;
        let packages = stream.actions.iter().filter_map(Package::of).collect();
        let what = What::Preserved {
            packages,
            files,
            holds,
        };
        self.note([what], &mut warnings);
        Ok(Outcome {
            preserved: holds,
            kept: match listed.there {
                Some(there) => there + in_use.held,
                None => store.census()?.inodes.len() as u64,
            },
            warnings,
            ..self.outcome(wanted)?
        })
    }

    /// Makes the volume writable for somebody who announces nothing: what is in use is kept.
    ///
    /// # Errors
    ///
    /// As [`open_for`](Self::open_for); what cannot be kept is a warning.
    pub fn open_and_preserve(&self, opener: Opener) -> Result<Outcome, Error> {
        let opened = self.open_for(opener)?;
        let mut outcome = match self.preserve(b"") {
            Ok(preserved) => preserved,
            Err(error) => Outcome {
                warnings: vec![error.to_string()],
                ..self.outcome(opened.wanted)?
            },
        };
        outcome.warnings.extend(opened.warnings);
        Ok(outcome)
    }

    /// Where listed files are stored.
    fn view(&self, warnings: &mut Vec<String>) -> Option<View> {
        let view = (self.places.dpkg).view(Path::new("/"), &self.volume.mount_point);
        view.map_err(|error| warnings.push(error.to_string())).ok()
    }

    /// What apt announces. A line that is not understood costs that line's package only.
    fn losing(&self, actions: &[Action], view: &View, warnings: &mut Vec<String>) -> Vec<Losing> {
        let (losing, unlisted) = candidates(actions, |action| {
            self.places
                .dpkg
                .installed_files(&action.package, action.old.as_ref(), view)
        });
        warn(warnings, unlisted.iter().map(ToString::to_string));
        losing
    }

    /// The inodes of the volume that some process uses, each with a magic link to it.
    pub(super) fn in_use(&self) -> Result<HashMap<u64, PathBuf>, Error> {
        let mount = self.seal.open()?;
        let root = self
            .links
            .stat_open(mount.as_fd())
            .map_err(failed("look at the mount's root"))?;
        let snapshot =
            procfs::snapshot(root.device).map_err(failed("see which files are in use (/proc)"))?;
        Ok(snapshot.links)
    }
}

/// Files of one package share their origin.
fn with_origin(package: Losing) -> impl Iterator<Item = Candidate> {
    let origin = Arc::new(Origin {
        package: package.package,
        old_version: package.old_version.unwrap_or_default(),
        new_version: package.new_version,
    });
    package.files.into_iter().map(move |path| Candidate {
        path,
        origin: Some(Arc::clone(&origin)),
    })
}

fn tell(preserved: &Preserved, warnings: &mut Vec<String>) {
    warn(warnings, preserved.skipped.iter().map(ToString::to_string));
    warnings.extend(preserved.stopped.as_ref().map(ToString::to_string));
}

/// Adds the first few, and how many more there are.
pub(super) fn warn(warnings: &mut Vec<String>, all: impl ExactSizeIterator<Item = String>) {
    let more = all.len().saturating_sub(TOLD);
    warnings.extend(all.take(TOLD));
    if more > 0 {
        warnings.push(format!("{more} more of that kind"));
    }
}
