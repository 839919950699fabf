//! What follows from a kernel's answers and a machine's setting, on a kernel that is made up.

use std::collections::HashMap;

use super::*;
use crate::agent::status::AgentStatus;
use crate::seal::{Level, Wanted, wanted::Source};
use crate::transaction::Opener;

/// A kernel that has everything but what a test says.
struct Fake {
    answers: HashMap<Feature, Answer>,
    modules: Option<Modules>,
}

impl Fake {
    fn new(active: &str) -> Self {
        Self {
            answers: HashMap::new(),
            modules: Some(Modules::named(active)),
        }
    }

    fn with(mut self, feature: Feature, answer: Answer) -> Self {
        self.answers.insert(feature, answer);
        self
    }

    fn without(self, features: &[Feature]) -> Self {
        features.iter().fold(self, |fake, &feature| {
            fake.with(feature, Answer::missing("refused"))
        })
    }
}

impl Probes for Fake {
    fn kernel(&self) -> String {
        "6.12.1".to_owned()
    }

    fn probe(&self, feature: Feature) -> Answer {
        let answer = self.answers.get(&feature).cloned();
        answer.unwrap_or_else(|| Answer::found("tried"))
    }

    fn modules(&self) -> Option<&Modules> {
        self.modules.as_ref()
    }
}

fn agent(tracker: &str, hooks: &str) -> Agent {
    Agent::Running(AgentStatus {
        pid: 7,
        tracker: tracker.into(),
        hooks: hooks.into(),
        pinned: false,
        releases: 0,
        resyncs: 0,
        corrections: 0,
        attached: false,
        watched: 0,
        losses: [].into(),
        missing: None,
    })
}

/// All as it should be, with an agent of that tracker and, with BPF, of the best hooks.
fn well(tracker: &str) -> Setting {
    well_with(agent(tracker, "lsm"))
}

fn well_with(agent: Agent) -> Setting {
    Setting {
        mounted: Ok(Mounted {
            mount_point: "/usr".into(),
            level: Level::Sealed,
            wanted: Wanted {
                level: Level::Sealed,
                by: Source::Fstab { line: 3 },
            },
            misconfigured: None,
            frozen: None,
            openers: Vec::new(),
        }),
        agent,
        disabled: false,
        missing_files: Vec::new(),
        conflicts: Ok(Vec::new()),
    }
}

#[test]
fn a_kernel_with_everything_is_well() {
    let report = diagnose(&Fake::new("lockdown,capability,bpf"), &well("bpf"));
    assert!(report.well, "{report:?}");
    let Choice {
        tracker,
        hooks,
        why,
        lost,
        next,
    } = report.tracker;
    assert_eq!((tracker, hooks), (Kind::Bpf, Some(Hooks::Lsm)));
    assert_eq!(
        why,
        "bpf is among the active security modules (lockdown,capability,bpf)"
    );
    assert_eq!((lost, next), (None, None));
}

#[test]
fn the_tracker_follows_from_the_features() {
    use Feature::{Bpf, BpfLsm, Btf, Fanotify, Fentry, FileIterator, MappingIterator, RingBuffer};
    let cases: [(&[Feature], Kind, Option<Hooks>); 10] = [
        (&[], Kind::Bpf, Some(Hooks::Lsm)),
        (&[Fentry], Kind::Bpf, Some(Hooks::Lsm)),
        (&[BpfLsm], Kind::Bpf, Some(Hooks::Fentry)),
        (&[BpfLsm, Fentry], Kind::Fanotify, None),
        (&[Btf], Kind::Fanotify, None),
        (&[RingBuffer], Kind::Fanotify, None),
        (&[FileIterator], Kind::Fanotify, None),
        (&[MappingIterator], Kind::Fanotify, None),
        (&[Bpf, Fanotify], Kind::None, None),
        (&[Fanotify], Kind::Bpf, Some(Hooks::Lsm)),
    ];
    for (missing, tracker, hooks) in cases {
        let fake = Fake::new("capability,bpf").without(missing);
        let hook = hooks.map_or("", Hooks::as_str);
        let report = diagnose(&fake, &well_with(agent(tracker.as_str(), hook)));
        let choice = &report.tracker;
        assert_eq!(
            (choice.tracker, choice.hooks),
            (tracker, hooks),
            "{missing:?}"
        );
        assert_eq!(
            choice.lost.is_some(),
            hooks != Some(Hooks::Lsm),
            "{missing:?}"
        );
        // A stand-in that nobody needs is no loss.
        let nothing_lost = missing.is_empty() || missing == [Fentry];
        assert_eq!(report.well, nothing_lost, "{missing:?}");
    }
}

#[test]
fn a_kernel_booted_without_bpf_among_its_modules_is_told_how_to_boot() {
    let fake = Fake::new("lockdown,capability,yama,apparmor").without(&[Feature::BpfLsm]);
    let choice = diagnose(&fake, &well("bpf")).tracker;
    assert_eq!(choice.hooks, Some(Hooks::Fentry));
    assert_eq!(
        choice.next.as_deref(),
        Some("boot with lsm=lockdown,yama,apparmor,bpf")
    );
    assert!(choice.lost.is_some_and(|lost| lost.contains("preempts")));
}

#[test]
fn what_could_not_be_tried_is_neither_there_nor_missing() {
    let untried = Answer::unknown("needs root");
    for feature in [Feature::Bpf, Feature::BpfLsm] {
        let fake = Fake::new("bpf").with(feature, untried.clone());
        let report = diagnose(&fake, &well("bpf"));
        assert_eq!(report.tracker.tracker, Kind::Unknown, "{feature:?}");
        let next = report.tracker.next.expect("says what to do");
        assert!(next.contains("as root"), "{next}");
        assert!(!report.well);
    }
    // What is missing for sure decides.
    let fake = Fake::new("bpf")
        .with(Feature::Bpf, untried)
        .without(&[Feature::MappingIterator]);
    assert_eq!(
        diagnose(&fake, &well("bpf")).tracker.tracker,
        Kind::Fanotify
    );
}

#[test]
fn lockdown_explains_a_refusal() {
    let fake = Fake::new("lockdown,bpf").without(&[Feature::Bpf, Feature::Lockdown]);
    let choice = diagnose(&fake, &well("fanotify")).tracker;
    assert_eq!(choice.tracker, Kind::Fanotify);
    let next = choice.next;
    assert_eq!(
        next.as_deref(),
        Some("boot without lockdown=confidentiality")
    );
}

#[test]
fn whatever_is_wrong_is_told_with_a_next_step() {
    let change = |change: fn(&mut Mounted)| {
        let mut setting = well("bpf");
        change(setting.mounted.as_mut().expect("is well"));
        setting
    };
    let cases = [
        (
            change(|usr| usr.wanted.by = Source::Found),
            "read-only wanted",
        ),
        (
            change(|usr| {
                usr.wanted = Wanted {
                    level: Level::Open,
                    by: Source::Nobody,
                }
            }),
            "read-only wanted",
        ),
        (
            change(|usr| usr.misconfigured = Some("rousr.conf:1: unknown".into())),
            "configuration",
        ),
        (change(|usr| usr.level = Level::MountSealed), "level"),
        (
            Setting {
                missing_files: vec!["/etc/apt/apt.conf.d/01rousr".into()],
                ..well("bpf")
            },
            "hooks",
        ),
        (
            Setting {
                conflicts: Ok(vec![Conflict {
                    file: "/etc/apt/apt.conf.d/99remount".into(),
                    line: 2,
                }]),
                ..well("bpf")
            },
            "other hooks",
        ),
        (
            Setting {
                agent: Agent::NotRunning,
                ..well("bpf")
            },
            "agent",
        ),
        (well("fanotify"), "agent"),
        (well_with(agent("bpf", "fentry")), "agent"),
    ];
    for (setting, name) in cases {
        let report = diagnose(&Fake::new("bpf"), &setting);
        let wrong: Vec<&Check> = report
            .checks
            .iter()
            .filter(|check| check.verdict != Verdict::Well)
            .collect();
        let [check] = wrong[..] else {
            panic!("{name}: {wrong:?}")
        };
        assert_eq!((check.name, check.verdict), (name, Verdict::Wrong));
        assert!(check.next.is_some() && !report.well, "{check:?}");
    }
}

#[test]
fn an_open_transaction_may_leave_it_writable() {
    let mut setting = well("bpf");
    let usr = setting.mounted.as_mut().expect("is well");
    (usr.level, usr.openers) = (Level::Open, vec![Opener::Transaction]);
    assert!(diagnose(&Fake::new("bpf"), &setting).well);
}

#[test]
fn who_says_what_is_wanted_is_told() {
    let configured = |level| Wanted {
        level,
        by: Source::Configuration,
    };
    let cases = [
        (
            configured(Level::Open),
            Level::Open,
            "only tracks and reaps",
        ),
        (
            configured(Level::Sealed),
            Level::Sealed,
            "/etc/rousr/rousr.conf",
        ),
        (
            well("bpf").mounted.expect("is well").wanted,
            Level::Sealed,
            "line 3 of /etc/fstab",
        ),
    ];
    for (wanted, level, part) in cases {
        let mut setting = well("bpf");
        let usr = setting.mounted.as_mut().expect("is well");
        (usr.wanted, usr.level) = (wanted, level);
        let report = diagnose(&Fake::new("bpf"), &setting);
        let told: Vec<&Check> = report
            .checks
            .iter()
            .filter(|check| check.detail.contains(part))
            .collect();
        assert_eq!(told.len(), 1, "{part}: {:?}", report.checks);
        assert!(report.well);
    }
}

#[test]
fn what_cannot_be_asked_is_unknown() {
    let setting = Setting {
        mounted: Err("no /proc".into()),
        agent: Agent::Unknown("permission denied".into()),
        disabled: false,
        missing_files: Vec::new(),
        conflicts: Ok(Vec::new()),
    };
    let report = diagnose(&Fake::new("bpf"), &setting);
    let verdicts: Vec<_> = report
        .checks
        .iter()
        .map(|check| (check.name, check.verdict))
        .collect();
    assert_eq!(
        verdicts,
        [
            ("volume", Verdict::Unknown),
            ("hooks", Verdict::Well),
            ("other hooks", Verdict::Well),
            ("agent", Verdict::Unknown)
        ]
    );
    assert!(!report.well);
}

/// On whichever kernel the tests run, as whoever.
#[test]
fn the_running_kernel_is_diagnosed() {
    let probes = HostProbes::new(std::path::Path::new("/"));
    let report = diagnose(&probes, &well("bpf"));
    assert_eq!(report.features.len(), Feature::ALL.len());
    for finding in report.features.iter() {
        assert!(!finding.how.is_empty(), "{finding:?}");
        assert!(
            finding.state == State::Found || finding.how.contains(' '),
            "{finding:?}"
        );
    }
}
