//! /usr can never be made writable: apt is stopped before dpkg starts, and told why.

use rousr_tests::{package, shell, status, succeed};

fn refused(filesystem: &str) {
    let packages = succeed("dpkg -l | md5sum");
    let deb = package::build("1", &[]);
    let told = shell(&format!("apt-get -y -q install {}", deb.display()));
    assert_eq!(told.status, 100, "{}", told.output);
    for part in ["dpkg is not started", filesystem, "new image"] {
        assert!(told.output.contains(part), "{part}: {}", told.output);
    }
    assert_eq!(succeed("dpkg -l | md5sum"), packages);
    for command in ["rousr exec true", "rousr unseal"] {
        let told = shell(command);
        assert_eq!(told.status, 1, "{command}: {}", told.output);
        assert!(
            told.output.contains("new image"),
            "{command}: {}",
            told.output
        );
    }

    let told = status();
    assert_eq!(told["level"], "sealed", "{told:#}");
    assert_eq!(
        told["openings"].as_array().map(Vec::len),
        Some(0),
        "{told:#}"
    );
    assert!(
        told["frozen"].as_str().expect("why").contains(filesystem),
        "{told:#}"
    );
    for command in ["rousr status", "rousr doctor"] {
        let told = shell(command).output;
        assert!(told.contains("can never be made writable"), "{told}");
    }
}

mod squashfs {
    mod root {
        #[test]
        fn apt_is_stopped() {
            super::super::refused("squashfs");
        }
    }
}

mod erofs {
    mod root {
        #[test]
        fn apt_is_stopped() {
            super::super::refused("erofs");
        }
    }
}
