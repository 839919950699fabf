//! By which of the kernel's hooks openings and releases are heard of.

use rousr_ebpf::names;

use crate::track::modules::Modules;

/// A way to hear of every opening and release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hooks {
    /// Security hooks: the kernel skips none of their programs.
    Lsm,
    /// The functions that call those hooks: a program that preempted itself is skipped, which the
    /// kernel counts.
    Fentry,
}

impl Hooks {
    /// The better ones that the running kernel has. Without bpf among the active security modules
    /// its hooks load and are never called.
    pub(super) fn of_this_kernel() -> Self {
        match Modules::active() {
            Ok(active) => Self::of(&active),
            Err(error) => {
                tracing::warn!("cannot tell the active security modules: {error}");
                Self::Fentry
            }
        }
    }

    fn of(active: &Modules) -> Self {
        if active.has("bpf") {
            Self::Lsm
        } else {
            Self::Fentry
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lsm => "lsm",
            Self::Fentry => "fentry",
        }
    }

    /// The programs in the order in which they are attached, the one for deaths first: a file
    /// counted by the other is then always taken off again.
    pub(super) fn programs(self) -> [&'static str; 2] {
        match self {
            Self::Lsm => [names::FILE_FREE, names::FILE_OPEN],
            Self::Fentry => [names::FENTRY_FREE, names::FENTRY_OPEN],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_hooks_need_bpf_among_the_active_modules() {
        for active in ["bpf", "lockdown,capability,bpf,ima", "capability,bpf"] {
            assert_eq!(Hooks::of(&Modules::named(active)), Hooks::Lsm, "{active}");
        }
        for active in ["", "lockdown,capability,yama,apparmor", "bpfilter"] {
            assert_eq!(
                Hooks::of(&Modules::named(active)),
                Hooks::Fentry,
                "{active}"
            );
        }
    }
}
