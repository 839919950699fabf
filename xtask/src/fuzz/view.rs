//! A line a target, and its finding.

use serde::Serialize;

use super::run::Run;

/// What is printed as JSON.
#[derive(Serialize)]
pub(super) struct All<'r> {
    pub(super) runs: &'r [Run],
}

/// In a few words.
pub(super) fn outcome(run: &Run) -> String {
    let findings = match run.finding {
        Some(_) => "a finding",
        None => "no finding",
    };
    format!(
        "{} executions, coverage {}, {findings}",
        run.told.executions, run.told.coverage
    )
}

/// All of them.
pub(super) fn table(runs: &[Run]) -> String {
    let mut text = String::from(
        "| target | executions | seconds | coverage | features | corpus | findings |\n|---|---|---|---|---|---|---|\n",
    );
    for run in runs {
        let told = run.told;
        text += &format!(
            "| {} | {} | {:.0} | {} | {} | {} | {} |\n",
            run.target,
            told.executions,
            run.seconds,
            told.coverage,
            told.features,
            told.corpus,
            u8::from(run.finding.is_some()),
        );
    }
    for run in runs {
        if let Some(finding) = &run.finding {
            text += &format!(
                "\n{}: {}\n  the input: {}\n  once more: {}\n",
                run.target,
                finding.what.replace('\n', "\n  "),
                finding.input.display(),
                finding.command,
            );
        }
    }
    text
}
