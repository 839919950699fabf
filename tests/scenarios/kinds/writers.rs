//! What needs a writable filesystem: it blocks the seal for as long as it lasts.

mod root {
    use std::time::Duration;

    use rousr_tests::{
        SOON, begin, holds, is_sealed, kinds::Kind, package, shell, succeed, verify::Verification,
        wait, wait_for_reap,
    };
    use rustix::io::Errno;

    use crate::kinds::{hold, inode_of, make_writable, new_package, old_package, public};

    /// A file without a name is another inode: it blocks the seal, but counts for nothing.
    #[test]
    fn a_writer_is_counted_and_a_nameless_file_is_not() {
        begin();
        package::install(&old_package());
        let inode = inode_of(Kind::Writer);
        make_writable();
        let writer = hold(Kind::Writer, &public(Kind::Writer));
        let nameless = hold(Kind::TmpFile, &public(Kind::TmpFile));
        package::install(&new_package());
        assert!(!is_sealed(), "a file is open for writing");
        assert_eq!(holds().into_iter().collect::<Vec<_>>(), [inode]);
        assert_eq!(Verification::ask().of(inode).counted, 1);

        drop(nameless);
        assert_eq!(Verification::ask().of(inode).counted, 1);
        drop(writer);
        wait(SOON, "the hold goes with the writer", || holds().is_empty());
        // What Post-Invoke could not do.
        succeed("systemctl restart rousr");
        wait(Duration::from_secs(60), "/usr is sealed", is_sealed);
    }

    /// The kernel refuses to unlink or to replace a file that it swaps to, so no upgrade makes an
    /// orphan of it; and on a sealed /usr none begins.
    #[test]
    fn a_swap_file_is_replaced_by_nobody() {
        begin();
        package::install(&old_package());
        let new = new_package();
        let refused = Kind::Swap.hold(&public(Kind::Swap));
        assert_eq!(
            refused.err().and_then(|error| error.raw_os_error()),
            Some(Errno::ROFS.raw_os_error())
        );

        make_writable();
        let swap = hold(Kind::Swap, &public(Kind::Swap));
        let apt = shell(&format!("apt-get -y -q install {}", new.display()));
        assert_eq!(apt.status, 100, "{}", apt.output);
        assert!(
            apt.output.contains("Operation not permitted"),
            "{}",
            apt.output
        );
        assert!(!is_sealed(), "a swap file is open for writing");

        drop(swap);
        package::install(&new);
        wait_for_reap();
    }
}
