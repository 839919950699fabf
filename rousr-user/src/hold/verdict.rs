//! What becomes of a hold once dpkg has run.

/// Whether a hold's inode is in use by somebody else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Usage {
    /// By nobody.
    Unused,
    /// By somebody.
    Used,
    /// Nobody can tell; it counts as used.
    Unknown,
}

/// What becomes of a hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The inode has another name: removing the hold takes nothing from anybody.
    Drop,
    /// Nobody has a use for the inode: it goes with the hold.
    Reap,
    /// Somebody may use it.
    Keep,
    /// Somebody may use it, and the hold is its only name: without set-id bits it stays.
    KeepAlone,
}

/// The verdict on a hold whose inode has `links` names, the hold included.
///
/// `named`: a name that the ledger knows still leads to the inode. `usage` is asked only where it
/// matters.
///
/// Names that the ledger does not know may vanish without anybody telling (another hard link, or an
/// interrupted run's .dpkg-tmp), so for their sake alone a used inode's hold is not dropped.
pub fn verdict(links: u64, named: bool, usage: impl FnOnce() -> Usage) -> Verdict {
    let has_other_names = links > 1;
    if has_other_names && named {
        return Verdict::Drop;
    }
    match (has_other_names, usage()) {
        (true, Usage::Unused) => Verdict::Drop,
        (true, _) => Verdict::Keep,
        (false, Usage::Unused) => Verdict::Reap,
        (false, _) => Verdict::KeepAlone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const USAGES: [Usage; 3] = [Usage::Unused, Usage::Used, Usage::Unknown];

    #[test]
    fn table() {
        use Usage::{Unknown, Unused, Used};
        let cases = [
            (2, true, Used, Verdict::Drop),
            (2, true, Unused, Verdict::Drop),
            (2, true, Unknown, Verdict::Drop),
            (2, false, Unused, Verdict::Drop),
            (2, false, Used, Verdict::Keep),
            (2, false, Unknown, Verdict::Keep),
            (1, false, Unused, Verdict::Reap),
            (1, false, Used, Verdict::KeepAlone),
            (1, false, Unknown, Verdict::KeepAlone),
            // No name can be left where the hold is the only one: the ledger is wrong, not the inode.
            (1, true, Used, Verdict::KeepAlone),
        ];
        for (links, named, usage, expected) in cases {
            assert_eq!(
                verdict(links, named, || usage),
                expected,
                "{links} {named} {usage:?}"
            );
        }
    }

    #[test]
    fn usage_is_not_asked_of_a_file_that_was_not_replaced() {
        assert_eq!(verdict(2, true, || panic!("asked")), Verdict::Drop);
    }

    proptest! {
        #[test]
        fn a_used_inode_never_loses_its_last_name(links in 1u64..5, named: bool, usage in 0..3usize) {
            let usage = USAGES[usage];
            let gone = matches!(verdict(links, named, || usage), Verdict::Drop | Verdict::Reap);
            prop_assert!(!gone || links > 1 || usage == Usage::Unused);
        }

        #[test]
        fn an_unused_inode_never_keeps_its_hold(links in 1u64..5, named: bool) {
            prop_assert!(matches!(verdict(links, named, || Usage::Unused), Verdict::Drop | Verdict::Reap));
        }
    }
}
