//! What is left after a cut, at the next boot.

use std::{fs, time::Duration};

use anyhow::Result;
use rousr_figures::powercut::Findings;

use super::{release_all, upgrade};
use crate::{is_sealed, look, shell, usr_flags};

/// For what the agent does at its start.
const SOON: Duration = Duration::from_secs(10);

pub(super) fn run(with_rousr: bool) -> Result<Findings> {
    let mut findings = Findings::default();
    if with_rousr {
        seal_and_holds(&mut findings, "at the boot");
    }
    findings.interrupted = is_interrupted();
    if findings.interrupted {
        go_on(with_rousr, &mut findings);
        if with_rousr {
            // What ran at the boot uses what is replaced only now.
            if let Err(error) = release_all() {
                findings
                    .faults
                    .push(format!("after dpkg went on: {error:#}"));
            }
            seal_and_holds(
                &mut findings,
                "once no service uses what dpkg went on to replace",
            );
        }
    }
    let lost = look::lost("");
    findings.lost = lost.len() as u64;
    findings.faults.extend(lost);
    Ok(findings)
}

fn seal_and_holds(findings: &mut Findings, when: &str) {
    let end = std::time::Instant::now() + SOON;
    while !(is_sealed() && look::leaks(false).is_empty()) && std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
    }
    let told = |what: String| format!("{when}: {what}");
    if !is_sealed() {
        findings.unsealed += 1;
        findings
            .faults
            .push(told(format!("/usr is {:?}", usr_flags())));
    }
    let leaks = look::leaks(false);
    findings.leaked += leaks.len() as u64;
    findings.faults.extend(leaks.into_iter().map(told));
}

/// Whether dpkg itself says so, or apt does at its next run (dpkg's modstatdb_is_journal... its updates
/// directory).
fn is_interrupted() -> bool {
    let updates = fs::read_dir("/var/lib/dpkg/updates");
    updates.is_ok_and(|mut files| files.next().is_some())
        || !shell("dpkg --audit").output.trim().is_empty()
}

/// What an administrator does whom dpkg or apt tells so: `dpkg --configure -a`, `apt-get -f install`, the
/// same upgrade once more, and anew what dpkg says "must be reinstalled" as it was half unpacked.
fn go_on(with_rousr: bool, findings: &mut Findings) {
    let configure = match with_rousr {
        true => "dpkg --configure -a",
        false => "mount -o remount,rw /usr && dpkg --configure -a",
    };
    // That may fail where a package has to be unpacked again, which is next.
    let configured = shell(configure);
    let fixed = shell("apt-get -y -q -f install");
    // To apt, a package that is half unpacked has its new version already.
    let upgraded = shell(&match needs_reinstallation() {
        true => upgrade("--reinstall"),
        false => upgrade(""),
    });
    if upgraded.status != 0 {
        findings.faults.push(format!(
            "dpkg does not go on: {}\n{}\n{}",
            configured.output, fixed.output, upgraded.output
        ));
    }
}

/// Whether dpkg was cut short between the first file of a package and the last.
fn needs_reinstallation() -> bool {
    shell("dpkg-query -W -f '${db:Status-Eflag}\\n'")
        .output
        .contains("reinstreq")
}
