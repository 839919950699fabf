//! A process that is killed while its memory is on its way out to swap and back in.

mod root {
    use std::{env, fs, path::Path, time::Duration};

    use rousr_tests::{
        Background, assert_sealed, begin, holds, inode, keep_dirty_copy,
        package::{self, FOLDER, Packed},
        shell, succeed, truth, wait,
    };

    use crate::kinds::{kept, reaped};

    const NAME: &str = "copied";
    const BYTES: usize = 48 << 20;
    /// Set in the scenario's own process that is to die.
    const COPIES: &str = "ROUSR_SCENARIO_COPIES";
    const GROUP: &str = "/sys/fs/cgroup/system.slice/scenario-copy.service";

    fn package(version: &str) -> std::path::PathBuf {
        let file = Packed {
            name: NAME.to_owned(),
            content: version.bytes().cycle().take(BYTES).collect(),
            mode: 0o644,
        };
        package::build(version, &[file])
    }

    fn start_swap() {
        succeed(
            "modprobe zram && echo 128M >/sys/block/zram0/disksize && \
             mkswap /dev/zram0 && swapon /dev/zram0",
        );
    }

    /// A third of the memory that it writes to.
    fn start_copy() {
        let program = env::current_exe().expect("the scenarios");
        succeed(&format!(
            "systemd-run --quiet --unit=scenario-copy -p MemoryMax=16M --setenv={COPIES}=1 -- \
             {} --exact kinds::memory::root::memory_that_is_swapped_out_while_its_process_dies",
            program.display()
        ));
        wait(Duration::from_secs(60), "half of it is swapped out", || {
            let swapped = fs::read_to_string(format!("{GROUP}/memory.swap.current"));
            let swapped: usize = swapped.unwrap_or_default().trim().parse().unwrap_or(0);
            swapped > BYTES / 2
        });
    }

    /// swapoff visits the process's memory and so can be the last to let go of it.
    #[test]
    fn memory_that_is_swapped_out_while_its_process_dies() {
        if env::var_os(COPIES).is_some() {
            let Err(error) = keep_dirty_copy(&Path::new(FOLDER).join(NAME));
            panic!("{error}");
        }
        begin();
        package::install(&package("1.0"));
        let held = inode(&format!("{FOLDER}/{NAME}"));
        start_swap();
        start_copy();
        package::install(&package("2.0"));
        assert_sealed();
        assert!(holds().contains(&held), "{:?} lacks {held}", holds());

        let swapoff = Background::start("swapoff /dev/zram0");
        succeed("systemctl kill -s KILL scenario-copy");
        wait(Duration::from_secs(60), "the process is gone", || {
            shell("systemctl is-active --quiet scenario-copy").status != 0
        });
        // Not before swapoff has left its memory.
        wait(Duration::from_secs(60), "the kernel has let go", || {
            truth::nobody_uses(&kept(held)).unwrap_or(true)
        });
        reaped(held).expect("a reap");
        drop(swapoff);
        succeed("! grep -q zram0 /proc/swaps || swapoff /dev/zram0");
        succeed("rmmod zram");
    }
}
