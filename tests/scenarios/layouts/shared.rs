//! Others write to the filesystem of /usr: only its mount is sealed, and nothing blocks that.

use rousr_tests::{Background, shell, status, succeed};

use super::story;

/// The story, while something on the filesystem is written to and something is in use that has no name.
fn beside_writers(elsewhere: &str) {
    let file = format!("{elsewhere}/rousr-gone");
    let writer = Background::start(&format!(
        "sh -c 'exec 9>{file}; rm {file}; exec sleep 1000'"
    ));
    story::mount_sealed();
    let told = status();
    let others = told["sharedWith"].as_array().expect("mounts");
    assert!(others.iter().any(|other| other == elsewhere), "{told:#}");
    let told = succeed("rousr status");
    assert!(told.contains("is the most it can be"), "{told}");
    let told = shell("rousr blockers");
    assert_eq!(
        (told.status, told.output.contains("nothing blocks")),
        (0, true),
        "{}",
        told.output
    );
    succeed(&format!("touch {file} && rm {file}"));
    drop(writer);
}

mod subvolume {
    mod root {
        #[test]
        fn replaced_files_go_through_the_clone_alone() {
            super::super::beside_writers("/");
        }
    }
}

mod bind {
    mod root {
        #[test]
        fn replaced_files_go_through_the_clone_alone() {
            super::super::beside_writers("/srv");
        }
    }
}
