//! What keeps an inode without an open file: no count tells, and no lease.

mod root {
    use std::{thread, time::Duration};

    use rousr_tests::{
        assert_sealed, begin, holds, is_sealed,
        kinds::{Kind, Pin},
        package, status, wait,
    };

    use crate::kinds::{inode_of, new_package, old_package, public};

    fn check(pin: Pin) {
        begin();
        package::install(&old_package());
        let inode = inode_of(Kind::Descriptor);
        let pinned = pin.hold(&public(Kind::Descriptor)).expect("a pin");
        package::install(&new_package());
        assert_sealed();
        thread::sleep(Duration::from_secs(2));
        assert!(holds().contains(&inode), "{pin:?}: unlinked, so an orphan");
        assert_sealed();
        let status = status();
        let hold = status["holds"]
            .as_array()
            .and_then(|holds| holds.iter().find(|hold| hold["inode"] == inode))
            .unwrap_or_else(|| panic!("no hold {inode} in {status:#}"));
        assert!(hold["pins"].as_u64() > Some(0), "{status:#}");
        drop(pinned);
        wait(
            Duration::from_secs(10),
            "the hold goes with its pin",
            || !holds().contains(&inode) && is_sealed(),
        );
    }

    #[test]
    fn a_bind_mount_is_found() {
        check(Pin::BindMount);
    }

    #[test]
    fn a_uprobe_is_found() {
        check(Pin::Uprobe);
    }

    #[test]
    fn an_entry_of_an_overlay_is_found() {
        check(Pin::OverlayEntry);
    }
}
