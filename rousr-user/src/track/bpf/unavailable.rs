//! Why the programs cannot be used on this kernel.

use aya::{EbpfError, maps::MapError, programs::ProgramError};

use super::offsets::{KERNEL_BTF, OffsetError};

/// Why the programs cannot be used on this kernel.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The kernel's structures are not known.
    #[error(transparent)]
    Offsets(#[from] OffsetError),
    /// The kernel's type information could not be parsed.
    #[error("cannot read the kernel's type information ({KERNEL_BTF}): {0}")]
    Btf(#[from] aya::BtfError),
    /// The object was refused.
    #[error("the kernel refused the BPF maps: {}; is BPF restricted by lockdown or a container?", chain(.0))]
    Object(#[from] EbpfError),
    /// A program was refused.
    #[error(
        "the kernel refused the BPF program {name}: {}; is BPF restricted by lockdown or a container?",
        brief(.source)
    )]
    Program {
        /// Name of the program.
        name: &'static str,
        /// The verifier's or the system call's answer.
        source: ProgramError,
    },
    /// A map has another type than expected.
    #[error("cannot use the BPF maps: {0}")]
    Map(#[from] MapError),
    /// The agent's own process could not be read.
    #[error("cannot read /proc/self/stat: {0}; is /proc mounted?")]
    OwnProcess(std::io::Error),
    /// The ring buffer could not be polled.
    #[error("cannot wait for the ring buffer: {0}")]
    RingBuffer(std::io::Error),
}

impl Unavailable {
    pub(super) fn program(name: &'static str) -> impl Fn(ProgramError) -> Self {
        move |source| {
            tracing::debug!("BPF program {name}: {source}");
            Self::Program { name, source }
        }
    }
}

/// The refusal without what the verifier says: hundreds of lines, in a form that each kernel has its
/// own of.
fn brief(refusal: &ProgramError) -> String {
    match refusal {
        ProgramError::LoadError { io_error, .. } => {
            format!("{io_error} (the verifier's reason is in the log with ROUSR_LOG=debug)")
        }
        other => other.to_string(),
    }
}

/// aya's errors tell the reason in their sources only.
fn chain(error: &EbpfError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
