//! Nobody else can write while a window is open.

mod root {
    use std::{env, process::Command};

    use rousr_tests::{assert_sealed, begin, windows};

    const OTHER: &str = "ROUSR_TEST_HAMMER";

    #[test]
    fn are_for_nobody_else() {
        // The same test, started once more in another mount namespace.
        if env::var_os(OTHER).is_some() {
            return windows::serve().expect("hammers");
        }
        begin();
        let mut other = Command::new(env::current_exe().expect("has a path"));
        other
            .args([
                "--exact",
                "--nocapture",
                "windows::root::are_for_nobody_else",
            ])
            .env(OTHER, "1");
        let report = windows::run(50, &other).expect("runs");
        assert!(report.is_well(), "{report:?}");
        begin();
        assert_sealed();
    }
}
