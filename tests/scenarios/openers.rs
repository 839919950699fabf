//! Held files that are opened and closed all the time, by more tasks than there are CPUs.

mod root {
    use std::{
        fs::{self, File},
        sync::atomic::{AtomicBool, AtomicU64, Ordering},
        thread,
        time::Duration,
    };

    use rousr_tests::{assert_sealed, begin, holds, inode, metric, succeed, wait_for_reap};

    const TASKS: usize = 16;
    const FILES: [&str; 3] = [
        "/usr/share/rousr-demo/table.dat",
        "/usr/share/rousr-demo/script.sh",
        "/usr/sbin/rousr-demo-daemon",
    ];

    /// Each task keeps a descriptor of its own and opens the held inodes through it over and over:
    /// a hold that went early would have no link left while the descriptor is open.
    #[test]
    fn no_hold_goes_early_and_none_is_left() {
        begin();
        succeed("apt-get -y -q install /run/share/rousr-demo_1.0_*.deb");
        let held: Vec<u64> = FILES.iter().map(|path| inode(path)).collect();
        let stop = AtomicBool::new(false);
        let opens = AtomicU64::new(0);
        let early = AtomicU64::new(0);
        thread::scope(|scope| {
            for task in 0..TASKS {
                let own = File::open(FILES[task % FILES.len()]).expect("a file of the package");
                let (stop, opens, early) = (&stop, &opens, &early);
                scope.spawn(move || open_over_and_over(&own, stop, opens, early));
            }
            succeed("apt-get -y -q install /run/share/rousr-demo_2.0_*.deb");
            assert_sealed();
            thread::sleep(Duration::from_secs(3));
            for inode in &held {
                assert!(holds().contains(inode), "{:?} lacks {inode}", holds());
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(early.load(Ordering::Relaxed), 0, "holds reaped early");
        assert!(
            opens.load(Ordering::Relaxed) > 1000,
            "the openers were busy"
        );
        wait_for_reap();
        assert_eq!(metric("rousr_tracker_losses{cause=\"ring-full\"}"), 0.0);
    }

    fn open_over_and_over(own: &File, stop: &AtomicBool, opens: &AtomicU64, early: &AtomicU64) {
        use std::os::{fd::AsRawFd as _, unix::fs::MetadataExt as _};
        let again = format!("/proc/self/fd/{}", own.as_raw_fd());
        while !stop.load(Ordering::Relaxed) {
            let file = File::open(&again).expect("the inode is alive");
            if file.metadata().expect("metadata").nlink() == 0 {
                early.fetch_add(1, Ordering::Relaxed);
            }
            opens.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An `O_PATH` descriptor is a holder that the kernel's leases do not see.
    #[test]
    fn a_path_descriptor_holds() {
        begin();
        succeed("apt-get -y -q install /run/share/rousr-demo_1.0_*.deb");
        let held = inode(FILES[0]);
        let path = format!(
            "python3 -c 'import os, time; os.open(\"{}\", os.O_PATH); time.sleep(100000)'",
            FILES[0]
        );
        let holder = rousr_tests::Background::start(&path);
        thread::sleep(Duration::from_secs(2));
        succeed("apt-get -y -q install /run/share/rousr-demo_2.0_*.deb");
        assert_sealed();
        assert!(
            fs::exists(format!("/usr/.rousr/{held}")).expect("readable"),
            "{:?}",
            holds()
        );
        drop(holder);
        wait_for_reap();
    }
}
