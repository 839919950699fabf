//! Files that are opened only while dpkg runs, and lose their name before it is done.

mod root {
    use std::{fs::File, thread};

    use rousr_tests::{
        SOON, assert_sealed, begin,
        gate::{self, GATE},
        holds, inode, metric, orphans, package, status, succeed, wait, wait_for_reap,
    };

    /// As triggers and scripts write them: no package lists it.
    const CACHE: &str = "/usr/share/rousr-cache";

    #[test]
    fn what_is_opened_while_dpkg_runs_is_held() {
        begin();
        succeed(&format!(
            "rousr exec sh -c 'echo old >{CACHE}; echo other >{CACHE}.other'"
        ));
        let held = || metric("rousr_newcomers_total{outcome=\"held\"}");
        let old = inode(CACHE);
        let script = format!("{GATE}; echo new >{CACHE}.new && mv {CACHE}.new {CACHE}");
        let deb = package::build_with("1", &[], &script);
        gate::close();
        let apt = thread::spawn(move || package::install(&deb));
        gate::wait_at();
        assert!(!holds().contains(&old), "nobody used it before");
        let holder = File::open(CACHE).expect("it is there");
        let other = File::open(format!("{CACHE}.other")).expect("it is there");
        wait(SOON, "both are held", || {
            holds().contains(&old) && holds().contains(&inode(&format!("{CACHE}.other")))
        });
        assert!(held() >= 2.0, "{}", held());
        gate::open();
        apt.join().expect("apt is done");

        assert_sealed();
        assert_ne!(inode(CACHE), old);
        assert_eq!(holds(), [old].into(), "what was not replaced is let go of");
        assert!(orphans().is_empty(), "{:?}", orphans());
        let status = status();
        assert_eq!(status["holds"][0]["path"], CACHE, "{status}");
        assert_eq!(status["holds"][0]["count"], 1, "{status}");
        drop((holder, other));
        wait_for_reap();
        assert_eq!(metric("rousr_tracker_attached"), 0.0);
        assert_eq!(metric("rousr_tracker_untold{cause=\"too-many\"}"), 0.0);
        assert_eq!(metric("rousr_tracker_untold{cause=\"ring-full\"}"), 0.0);
        succeed(&format!("rousr exec rm {CACHE} {CACHE}.other"));
    }
}
