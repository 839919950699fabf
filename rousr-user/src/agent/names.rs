//! Names that somebody else chose, as a terminal may see them.

use std::borrow::Cow;

use crate::track::process::Who;

/// Keeps a line a line and a terminal as it is, whatever a name holds: any user can name a process.
pub fn visible(name: &str) -> Cow<'_, str> {
    if !name.contains(char::is_control) {
        return Cow::Borrowed(name);
    }
    let escaped = name.chars().map(|character| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    });
    Cow::Owned(escaped.collect())
}

/// A systemd unit, and the user whose manager runs it.
pub fn unit_name(unit: &str, user: Option<u32>) -> String {
    let unit = visible(unit);
    match user {
        Some(user) => format!("{unit} (user {user})"),
        None => unit.into_owned(),
    }
}

/// A process, its number, its systemd unit and the user whose manager runs that.
pub fn process_name(who: &Who) -> String {
    let unit = (who.unit.as_ref()).map(|unit| unit_name(unit, who.unit_user));
    let unit = unit.unwrap_or_else(|| "no unit".to_owned());
    format!("{} (pid {}, {unit})", visible(&who.comm), who.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_controls_the_terminal() {
        assert_eq!(visible("a\n\u{1b}[2Jb"), "a\\n\\u{1b}[2Jb");
        assert_eq!(visible("größe"), "größe");
        assert_eq!(unit_name("x\ty.service", Some(7)), "x\\ty.service (user 7)");
    }
}
