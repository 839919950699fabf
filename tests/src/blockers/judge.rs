//! What `rousr blockers` has to say about each plant.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::plant::{Plant, Shows, Who};
use crate::shell;

/// What it said.
pub(super) struct Told(Value);

impl Told {
    pub(super) fn ask() -> anyhow::Result<Self> {
        let said = shell("rousr blockers --json");
        let told = serde_json::from_str(&said.output);
        Ok(Self(told.with_context(|| {
            format!("rousr blockers said\n{}", said.output)
        })?))
    }

    /// Inodes without a name: counted, shown.
    pub(super) fn orphans(&self) -> anyhow::Result<(u64, u64)> {
        let number = |name: &str| {
            let value = self.0["orphans"][name].as_u64();
            value.with_context(|| format!("no number {name} in {}", self.0["orphans"]))
        };
        Ok((number("counted")?, number("shown")?))
    }

    /// Who and the way out; or what is missing.
    pub(super) fn about(&self, plant: &Plant) -> Result<String, String> {
        match plant.shows {
            Shows::Blocker(kind, path, who) => {
                let blocker = self.find("blockers", |found| {
                    found["kind"] == kind && found["path"] == path
                });
                let blocker = blocker.ok_or_else(|| format!("no {kind} {path}"))?;
                told_by(blocker, plant, who)
            }
            Shows::Elsewhere => {
                let unit = plant.unit();
                let mount = self.find("elsewhere", |found| found["unit"] == *unit);
                let mount = mount.ok_or_else(|| format!("no mount of {unit}"))?;
                same_pid(mount, plant)?;
                same_remedy(&mount["remedy"], &restart(&unit))?;
                Ok(format!("{unit}: restart"))
            }
            Shows::InFlight => {
                let unit = plant.unit();
                let sockets = self.0["orphans"]["inFlight"].as_array();
                let socket = sockets
                    .and_then(|sockets| sockets.iter().find(|found| found["unit"] == *unit))
                    .ok_or_else(|| format!("no socket of {unit}"))?;
                same_pid(socket, plant)?;
                same_remedy(&socket["remedy"], &restart(&unit))?;
                Ok(format!(
                    "in the difference, with the socket of {unit}: restart"
                ))
            }
            Shows::Counted => match self.orphans() {
                // One is in flight, and may be told by its socket; the other by nothing else.
                Ok((counted, shown)) if counted == shown + 2 => Ok("in the difference".to_owned()),
                Ok((counted, shown)) => Err(format!("{counted} counted and {shown} shown")),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    fn find(&self, list: &str, is_meant: impl Fn(&Value) -> bool) -> Option<&Value> {
        self.0[list]
            .as_array()?
            .iter()
            .find(|found| is_meant(found))
    }
}

fn told_by(blocker: &Value, plant: &Plant, who: Who) -> Result<String, String> {
    if let Who::Kernel(kind, action) = who {
        let users = blocker["kernel"].as_array().into_iter().flatten();
        let user = users
            .into_iter()
            .find(|user| user["kind"] == kind)
            .ok_or_else(|| format!("no {kind} in {blocker}"))?;
        let has_action = |remedy: &&Value| remedy["action"] == action;
        remedies(blocker)
            .find(has_action)
            .ok_or_else(|| format!("no {action} in {blocker}"))?;
        let name = user["name"].as_str().unwrap_or_default();
        return Ok(format!("{kind} {name}: {action}"));
    }
    let holder = holders(blocker)
        .find(|holder| same_pid(holder, plant).is_ok())
        .ok_or_else(|| format!("not by its process in {blocker}"))?;
    let unit = holder["unit"].as_str().unwrap_or_default();
    let pid = &holder["pid"];
    let (expected, remedy) = match who {
        Who::Service => (plant.unit(), restart(&plant.unit())),
        Who::UserService(user) => {
            let unit = plant.unit();
            let remedy = json!({"action": "restart", "unit": unit, "user": user});
            (unit, remedy)
        }
        Who::Session => {
            let number = session(unit).ok_or_else(|| format!("{unit} is no session"))?;
            let remedy = json!({"action": "log-out", "session": number});
            (unit.to_owned(), remedy)
        }
        Who::Shell => {
            session(unit).ok_or_else(|| format!("{unit} is no session"))?;
            (
                unit.to_owned(),
                json!({"action": "change-directory", "pid": pid}),
            )
        }
        Who::Container(name) => (
            format!("{name}.scope"),
            json!({"action": "restart-container", "container": name}),
        ),
        Who::Manager => (plant.unit(), json!({"action": "reexecute"})),
        Who::Essential(unit) => (unit.to_owned(), json!({"action": "reboot"})),
        Who::Kernel(..) => unreachable!("told above"),
    };
    if unit != expected {
        return Err(format!("of {unit}, not {expected}"));
    }
    remedies(blocker)
        .find(|told| **told == remedy)
        .ok_or_else(|| format!("no {remedy} in {blocker}"))?;
    let action = remedy["action"].as_str().unwrap_or_default();
    Ok(format!("{unit}: {action}"))
}

fn holders(blocker: &Value) -> impl Iterator<Item = &Value> {
    blocker["holders"].as_array().into_iter().flatten()
}

fn remedies(blocker: &Value) -> impl Iterator<Item = &Value> {
    blocker["remedies"].as_array().into_iter().flatten()
}

fn restart(unit: &str) -> Value {
    json!({"action": "restart", "unit": unit})
}

fn session(unit: &str) -> Option<&str> {
    unit.strip_prefix("session-")?.strip_suffix(".scope")
}

fn same_pid(told: &Value, plant: &Plant) -> Result<(), String> {
    match plant.pid() {
        Some(pid) if told["pid"] == pid => Ok(()),
        pid => Err(format!("not {pid:?} in {told}")),
    }
}

fn same_remedy(told: &Value, expected: &Value) -> Result<(), String> {
    match told == expected {
        true => Ok(()),
        false => Err(format!("{told}, not {expected}")),
    }
}
