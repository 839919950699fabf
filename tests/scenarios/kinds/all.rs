//! What can hold on a sealed /usr: counted, seen by the kernel, reaped.

mod root {
    use std::{collections::BTreeMap, path::PathBuf};

    use rousr_tests::{
        assert_sealed, begin, holds,
        kinds::{Holder, Kind},
        orphans, package, succeed, truth,
        verify::{Verification, Verified},
        wait_for_reap,
    };

    use crate::kinds::{
        hold, inode_of, kept, make_writable, new_package, old_package, public, reaped,
    };

    /// A held file and who holds it.
    struct Held {
        kind: Kind,
        inode: u64,
        holder: Holder,
    }

    impl Held {
        fn new(kind: Kind) -> Self {
            Self {
                kind,
                inode: inode_of(kind),
                holder: hold(kind, &public(kind)),
            }
        }
    }

    /// One of each, but for a dead socket, which the first close of any socket collects.
    fn hold_each() -> Vec<Held> {
        let kinds = Kind::ALL
            .into_iter()
            .filter(|&kind| !kind.blocks_seal() && kind != Kind::DeadSocket);
        let (writing, reading): (Vec<Kind>, Vec<Kind>) = kinds.partition(|kind| kind.writes());
        make_writable();
        let mut held: Vec<Held> = writing.into_iter().map(Held::new).collect();
        succeed("mount -o remount,ro /usr");
        assert_sealed();
        held.extend(reading.into_iter().map(Held::new));
        held
    }

    /// What `rousr verify` has to say of an inode whose only holder was there before it was watched.
    fn expected(held: &Held) -> Verified {
        let counts = held.holder.counts();
        let visible = match held.kind.in_tasks() {
            true => u64::from(counts.files),
            false => 0,
        };
        Verified {
            inode: held.inode,
            counted: visible,
            kernel: u64::from(counts.files),
            visible,
            paths: u64::from(counts.paths),
            pins: 0,
        }
    }

    fn check_counted(held: &Held, verified: Verified) -> Result<(), String> {
        let mut expected = expected(held);
        if held.kind == Kind::OverlayLower {
            // The overlay's own reference; up to 6.4 its file had none, which made up for it.
            expected.pins = verified.pins.min(1);
        }
        if verified == expected {
            return Ok(());
        }
        Err(format!("{verified:?}, not {expected:?}"))
    }

    /// The kernel itself sees it, unless leases cannot.
    fn check_truth(held: &Held) -> Result<(), String> {
        let counts = held.holder.counts();
        let free = truth::nobody_uses(&kept(held.inode)).expect("a lease");
        if free == (counts.files == 0) {
            return Ok(());
        }
        Err(format!("a lease says free: {free}, with {counts:?}"))
    }

    /// What is opened while the agent watches is counted whether tasks reach it or not.
    fn check_another(held: &Held) -> Result<(), String> {
        if held.kind.writes() {
            return Ok(());
        }
        let counted = || Verification::ask().of(held.inode).counted;
        let before = counted();
        let another = hold(held.kind, &kept(held.inode));
        let during = counted();
        let added = u64::from(another.counts().files);
        drop(another);
        let after = counted();
        if (during, after) == (before + added, before) {
            return Ok(());
        }
        Err(format!(
            "counted {before}, with another {during}, then {after}"
        ))
    }

    fn check_reaped(held: Held) -> Result<(), String> {
        if !holds().contains(&held.inode) {
            return Err("gone before its holder".to_owned());
        }
        let counts = held.holder.counts();
        drop(held.holder);
        let latency = reaped(held.inode)?;
        println!(
            "{:18} {counts:?}, reaped after {latency:?}",
            held.kind.name()
        );
        Ok(())
    }

    #[test]
    fn each_is_counted_and_reaped_with_its_last() {
        begin();
        package::install(&old_package());
        let all = hold_each();
        package::install(&new_package());
        assert_sealed();
        assert_eq!(orphans(), [] as [PathBuf; 0]);

        let verification = Verification::ask();
        assert!(verification.differences.is_empty(), "{verification:#?}");
        let mut wrong: BTreeMap<&str, String> = BTreeMap::new();
        for held in &all {
            let checked = check_counted(held, verification.of(held.inode))
                .and_then(|()| check_truth(held))
                .and_then(|()| check_another(held));
            if let Err(why) = checked {
                wrong.insert(held.kind.name(), why);
            }
        }
        for held in all {
            let name = held.kind.name();
            if let Err(why) = check_reaped(held) {
                wrong.insert(name, why);
            }
        }
        assert_eq!(wrong, BTreeMap::new());
        wait_for_reap();
    }

    /// No program is run in between: it would close a socket.
    #[test]
    fn a_dead_socket_holds_until_it_is_collected() {
        begin();
        package::install(&old_package());
        let inode = inode_of(Kind::DeadSocket);
        let first = hold(Kind::Descriptor, &public(Kind::DeadSocket));
        package::install(&new_package());
        assert_sealed();

        let dead = hold(Kind::DeadSocket, &kept(inode));
        drop(first);
        // Time for the agent to be wrong.
        std::thread::sleep(std::time::Duration::from_millis(500));
        let kept = holds().contains(&inode);
        assert!(kept || dead.counts().files == 0, "gone before its holder");
        drop(dead);
        reaped(inode).expect("a reap");
    }
}
