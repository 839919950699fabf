//! What keeps an inode without an open file: no count tells, and no lease.

mod root {
    use std::{thread, time::Duration};

    use rousr_tests::{
        assert_sealed, begin, holds, is_sealed,
        kinds::{Kind, Pin},
        package,
        verify::Verification,
        wait,
    };

    use crate::kinds::{inode_of, new_package, old_package, public};

    /// Any three files, one for each.
    const PINS: [(Pin, Kind); 3] = [
        (Pin::BindMount, Kind::Descriptor),
        (Pin::Uprobe, Kind::Dup),
        (Pin::OverlayEntry, Kind::Path),
    ];

    /// No event tells when a pin goes: the agent looks again, at most a minute later.
    const LONGEST_PAUSE: Duration = Duration::from_secs(65);

    #[test]
    fn a_pinned_file_is_kept_and_told() {
        begin();
        package::install(&old_package());
        let pinned = PINS.map(|(pin, kind)| {
            let inode = inode_of(kind);
            (pin, inode, pin.hold(&public(kind)).expect("a pin"))
        });
        package::install(&new_package());
        thread::sleep(Duration::from_secs(1));
        assert_sealed();
        for (pin, inode, _) in &pinned {
            assert!(holds().contains(inode), "{pin:?}: unlinked while pinned");
            let verified = Verification::ask().of(*inode);
            assert_eq!((verified.counted, verified.kernel), (0, 0), "{pin:?}");
            assert!(verified.pins > 0, "{pin:?}: {verified:?}");
        }
        for (pin, inode, pinned) in pinned {
            drop(pinned);
            let what = format!("{pin:?}: the hold goes with its pin");
            wait(LONGEST_PAUSE, &what, || {
                !holds().contains(&inode) && is_sealed()
            });
        }
    }
}
