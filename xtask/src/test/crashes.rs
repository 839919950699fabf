//! Boots that find what a crash left, each in a guest of its own.

use super::scenarios::Boot;
use crate::lab::kernel::Kernel;

/// A boot: its test, more kernel arguments, and what the guest is prepared with.
struct Case {
    test: &'static str,
    append: &'static str,
    prepare: &'static str,
}

/// Holds as a crash in an upgrade leaves them: of a file that was not replaced yet, of one that was, and
/// one whose directory entry was on its move. /usr is writable, against fstab, and systemd leaves it so.
macro_rules! crashed {
    ($more:literal) => {
        concat!(
            "mkdir -m 700 /usr/.rousr\n\
             hold() { ln \"$1\" \"/usr/.rousr/$(stat -c %i \"$1\")\"; }\n\
             hold /usr/bin/true\n\
             touch /usr/share/replaced && hold /usr/share/replaced && rm /usr/share/replaced\n\
             moved=$(stat -c %i /usr/bin/false)\n\
             hold /usr/bin/false\n\
             mv -T /usr/bin/false /usr/.rousr/$moved.entry\n\
             ln -s /usr/.rousr/$moved /usr/bin/false\n\
             mkdir -p /var/lib/rousr\n\
             touch /run/rousr-lab/keep-writable\n\
             ln -s /dev/null /etc/systemd/system/systemd-remount-fs.service\n",
            $more
        )
    };
}

const CASES: [Case; 3] = [
    Case {
        test: "after_a_crash_in_an_upgrade",
        append: "",
        prepare: crashed!(
            "echo garbage >/var/lib/rousr/ledger\n\
             sed -i '/^Package: debsums$/,/^$/s/^Status: .*/Status: install ok half-configured/' \
             /var/lib/dpkg/status\n"
        ),
    },
    Case {
        test: "where_the_agent_cannot_start",
        append: "lsm=lockdown,capability,landlock,yama,apparmor",
        prepare: crashed!(
            "mkdir -p /etc/systemd/system/rousr.service.d\n\
             printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\nExecStopPost=\\n' \
             >/etc/systemd/system/rousr.service.d/broken.conf\n"
        ),
    },
    Case {
        test: "where_rousr_is_disabled",
        append: "",
        prepare: "mkdir -p -m 700 /usr/.rousr /var/lib/rousr\n\
             ln /usr/bin/true \"/usr/.rousr/$(stat -c %i /usr/bin/true)\"\n\
             touch /var/lib/rousr/disabled /run/rousr-lab/keep-writable\n\
             ln -s /dev/null /etc/systemd/system/systemd-remount-fs.service\n\
             rm /etc/systemd/system/*.wants/rousr.service\n",
    },
];

/// Those whose name, `boot::TEST`, begins with the filter.
pub(super) fn matching(filter: &str, kernel: Kernel) -> Vec<Boot> {
    CASES
        .iter()
        .filter(|case| format!("boot::{}", case.test).starts_with(filter))
        .map(|case| Boot::prepared(kernel, case.append, case.prepare, case.test))
        .collect()
}
