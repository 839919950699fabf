//! The main scenario: libssl upgraded while a service and systemd itself hold the old one.

mod root {
    use std::{collections::BTreeSet, time::Duration};

    use rousr_tests::{
        SOON, assert_sealed, begin, holds, inode, json, metric, orphans, shell, status, succeed,
        wait, wait_for_reap,
    };

    const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/libcrypto.so.3";
    const PACKAGES: &str = "libssl3t64 openssl openssl-provider-legacy";

    #[test]
    fn libssl_under_systemd() {
        begin();
        let old = inode(LIBRARY);
        succeed(
            "systemd-run --quiet --unit=scenario-python \
             python3 -c 'import ssl, time; time.sleep(100000)'",
        );
        wait(Duration::from_secs(60), "python has the library", || {
            succeed("cat /proc/$(systemctl show -P MainPID scenario-python)/maps")
                .contains("libcrypto")
        });
        let transactions = metric("rousr_transactions_total");
        let reaped = metric("rousr_reap_latency_seconds_count");

        let apt = succeed(&format!("apt-get -y -q install {PACKAGES}"));
        assert!(apt.contains("rousr: /usr is read-only again"), "{apt}");
        assert_sealed();
        assert_eq!(orphans(), [] as [std::path::PathBuf; 0]);
        assert_ne!(inode(LIBRARY), old, "the upgrade replaced the library");
        assert!(holds().contains(&old), "{:?} lacks {old}", holds());
        assert_eq!(metric("rousr_transactions_total"), transactions + 1.0);
        assert_eq!(metric("rousr_holds"), holds().len() as f64);
        assert_eq!(metric("rousr_seal_level"), 2.0);
        assert_eq!(metric("rousr_tracker_attached"), 1.0);

        let status = status();
        let hold = status["holds"]
            .as_array()
            .and_then(|holds| holds.iter().find(|hold| hold["inode"] == old))
            .unwrap_or_else(|| panic!("no hold {old} in {status:#}"));
        assert_eq!(hold["path"], LIBRARY);
        assert_eq!(hold["package"], "libssl3t64");
        let units: Vec<&str> = hold["holders"]
            .as_array()
            .expect("holders")
            .iter()
            .filter_map(|holder| holder["unit"].as_str())
            .collect();
        assert!(units.contains(&"scenario-python.service"), "{units:?}");
        assert!(units.contains(&"init.scope"), "{units:?}");

        release_all();
        wait_for_reap();
        assert!(metric("rousr_reap_latency_seconds_count") > reaped);
        assert_eq!(metric("rousr_tracker_attached"), 0.0);
        assert_eq!(metric("rousr_tracker_losses{cause=\"ring-full\"}"), 0.0);
        assert_eq!(metric("rousr_errors_total"), 0.0);
        assert_history(old);
    }

    /// The transaction is known with all its packages, and the library with who had it last.
    #[track_caller]
    fn assert_history(library: u64) {
        let told = json("rousr history --last 1 --json");
        let [transaction] = &told["transactions"].as_array().expect("transactions")[..] else {
            panic!("{told:#}");
        };
        assert_eq!(told["warnings"].as_array().map(Vec::len), Some(0));
        let packages = transaction["packages"].as_array().expect("packages");
        let names: BTreeSet<&str> = packages
            .iter()
            .filter_map(|package| package["name"].as_str())
            .collect();
        assert_eq!(names, PACKAGES.split(' ').collect());
        assert_eq!(transaction["level"], "sealed", "{told:#}");
        let reaped = transaction["reaped"].as_array().expect("reaped");
        assert_eq!(transaction["kept"], reaped.len(), "{told:#}");
        let gone = reaped.iter().find(|gone| gone["inode"] == library);
        let gone = gone.unwrap_or_else(|| panic!("no {library} in {told:#}"));
        assert_eq!(gone["path"], LIBRARY);
        assert!(gone["lastHolder"]["comm"].is_string(), "{told:#}");
        let text = succeed("rousr history");
        assert!(text.contains("libcrypto.so.3 was held for "), "{text}");
    }

    /// A user's manager executes itself anew, where that user has no bus by which it could be asked.
    #[test]
    fn a_users_manager_without_a_bus() {
        begin();
        succeed(
            "systemctl unmask systemd-logind && systemctl start dbus systemd-logind user@0.service",
        );
        let bus = std::path::Path::new("/run/user/0/bus");
        assert!(!bus.exists(), "the guest has no dbus-user-session");
        let library = succeed("echo /usr/lib/x86_64-linux-gnu/systemd/libsystemd-core-*.so");
        let library = library.trim();
        let old = inode(library);
        succeed(&format!(
            "rousr exec -- sh -c 'cp -a {library} {library}.new && mv {library}.new {library}'"
        ));
        let has_old = || {
            let status = status();
            let holds = status["holds"].as_array().expect("holds").iter();
            let holders = holds
                .filter(|hold| hold["inode"] == old)
                .filter_map(|hold| hold["holders"].as_array())
                .flatten();
            let mut managers = holders.filter(|holder| holder["comm"] == "systemd");
            managers.any(|manager| manager["unit"] == "user@0.service")
        };
        assert!(has_old(), "{:#}", status());
        let told = shell("rousr restart --yes").output;
        assert!(told.contains(" user@0.service\n"), "{told}");
        wait(SOON, "the manager runs the new library", || !has_old());
        succeed("systemctl stop user@0.service");
        wait_for_reap();
        succeed("systemctl mask --now systemd-logind");
    }

    /// Makes every holder go, as an administrator would.
    fn release_all() {
        succeed("systemctl stop scenario-python && systemctl daemon-reexec");
        let status = status();
        let units = status["holds"]
            .as_array()
            .expect("holds")
            .iter()
            .flat_map(|hold| {
                let holders = hold["holders"].as_array().expect("holders").iter();
                holders.filter_map(|holder| holder["unit"].as_str().map(str::to_owned))
            });
        for unit in units.collect::<std::collections::BTreeSet<_>>() {
            succeed(&format!("systemctl restart {unit}"));
        }
    }
}
