//! What keeps an inode without an open file: no count tells, and no lease.

mod root {
    use std::{thread, time::Duration};

    use rousr_tests::{
        assert_sealed, begin, holds, is_sealed,
        kinds::{Kind, Pin},
        package, status, wait,
    };

    use crate::kinds::{inode_of, new_package, old_package, public};

    /// Any three files, one for each.
    const PINS: [(Pin, Kind); 3] = [
        (Pin::BindMount, Kind::Descriptor),
        (Pin::Uprobe, Kind::Dup),
        (Pin::OverlayEntry, Kind::Path),
    ];

    fn pins_told(inode: u64) -> u64 {
        let status = status();
        let holds = status["holds"].as_array().expect("holds");
        let hold = holds.iter().find(|hold| hold["inode"] == inode);
        hold.and_then(|hold| hold["pins"].as_u64()).unwrap_or(0)
    }

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
            assert!(pins_told(*inode) > 0, "{pin:?}: {:#}", status());
        }
        for (pin, inode, pinned) in pinned {
            drop(pinned);
            let what = format!("{pin:?}: the hold goes with its pin");
            wait(Duration::from_secs(10), &what, || {
                !holds().contains(&inode) && is_sealed()
            });
        }
    }
}
