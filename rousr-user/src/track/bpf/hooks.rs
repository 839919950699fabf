//! By which of the kernel's hooks openings and releases are heard of.

use rousr_ebpf::names;

/// The active security modules, one line, separated by commas.
const ACTIVE_LSMS: &str = "/sys/kernel/security/lsm";

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
        match std::fs::read_to_string(ACTIVE_LSMS) {
            Ok(active) => Self::of(active.trim()),
            Err(error) => {
                tracing::warn!(
                    "cannot read {ACTIVE_LSMS}: {error}; mount securityfs on /sys/kernel/security"
                );
                Self::Fentry
            }
        }
    }

    fn of(active: &str) -> Self {
        if active.split(',').any(|name| name == "bpf") {
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
            assert_eq!(Hooks::of(active), Hooks::Lsm, "{active}");
        }
        for active in ["", "lockdown,capability,yama,apparmor", "bpfilter"] {
            assert_eq!(Hooks::of(active), Hooks::Fentry, "{active}");
        }
    }
}
