//! The active security modules.

use std::{fmt, fs, io};

use crate::sys::security;

/// One line, separated by commas; there where securityfs is mounted.
const LIST: &str = "/sys/kernel/security/lsm";

/// The active security modules, in the order in which they are asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Modules(Vec<String>);

/// `LSM_ID_CAPABILITY` and those that follow.
/// <https://elixir.bootlin.com/linux/v6.12/source/include/uapi/linux/lsm.h>
const NUMBERED_FROM: u64 = 100;
const NAMES: [&str; 14] = [
    "capability",
    "selinux",
    "smack",
    "tomoyo",
    "apparmor",
    "yama",
    "loadpin",
    "safesetid",
    "lockdown",
    "bpf",
    "landlock",
    "ima",
    "evm",
    "ipe",
];

impl Modules {
    /// Those of the running kernel.
    ///
    /// # Errors
    ///
    /// Fails where securityfs is not mounted and Linux is older than 6.8.
    pub fn active() -> io::Result<Self> {
        match fs::read(LIST) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(unread) => match security::active() {
                Ok(numbers) => Ok(Self::from_numbers(&numbers)),
                Err(_) => Err(io::Error::new(
                    unread.kind(),
                    format!("{LIST}: {unread}; mount securityfs on /sys/kernel/security"),
                )),
            },
        }
    }

    /// From the list in securityfs.
    fn parse(text: &[u8]) -> Self {
        let names = text
            .trim_ascii()
            .split(|&byte| byte == b',')
            .filter(|name| !name.is_empty())
            .map(|name| String::from_utf8_lossy(name).into_owned());
        Self(names.collect())
    }

    /// From lsm_list_modules(2). A number that this program does not know stands for itself.
    fn from_numbers(numbers: &[u64]) -> Self {
        let name = |&number: &u64| {
            let known = number
                .checked_sub(NUMBERED_FROM)
                .and_then(|index| NAMES.get(usize::try_from(index).ok()?));
            known.map_or_else(|| number.to_string(), |&name| name.to_owned())
        };
        Self(numbers.iter().map(name).collect())
    }

    /// As the list in securityfs has them.
    #[cfg(test)]
    pub(crate) fn named(names: &str) -> Self {
        Self::parse(names.as_bytes())
    }

    /// Whether one is active.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|active| active == name)
    }

    /// What to boot with to have `bpf` among them.
    pub fn boot_option_with_bpf(&self) -> String {
        // `capability` is always active, and not accepted there.
        let mut names: Vec<&str> = self.0.iter().map(String::as_str).collect();
        names.retain(|&name| name != "capability" && name != "bpf");
        names.push("bpf");
        format!("lsm={}", names.join(","))
    }
}

impl fmt::Display for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sources_give_the_same() {
        let text = Modules::parse(b"lockdown,capability,landlock,bpf\n");
        assert_eq!(text, Modules::from_numbers(&[108, 100, 110, 109]));
        assert!(text.has("bpf") && !text.has("apparmor"));
    }

    #[test]
    fn a_number_without_a_name_stays_a_number() {
        let modules = Modules::from_numbers(&[7, 114, u64::MAX]);
        assert_eq!(modules.to_string(), "7,114,18446744073709551615");
    }

    #[test]
    fn names_are_compared_whole() {
        for text in ["", "bpfilter", "not-bpf,apparmor"] {
            assert!(!Modules::named(text).has("bpf"), "{text}");
        }
    }

    #[test]
    fn the_boot_option_keeps_what_is_active() {
        let cases = [
            ("lockdown,capability,yama", "lsm=lockdown,yama,bpf"),
            ("capability,bpf,yama", "lsm=yama,bpf"),
            ("", "lsm=bpf"),
        ];
        for (active, option) in cases {
            let modules = Modules::named(active);
            assert_eq!(modules.boot_option_with_bpf(), option, "{active}");
        }
    }
}
