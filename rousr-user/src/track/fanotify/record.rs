//! What the kernel writes for each event: metadata, followed by information records.
//!
//! <https://elixir.bootlin.com/linux/v6.12/source/include/uapi/linux/fanotify.h>

use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::sys::file_handle::FileHandle;

/// `struct fanotify_event_metadata`.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Metadata {
    event_length: u32,
    version: u8,
    reserved: u8,
    metadata_length: u16,
    mask: u64,
    descriptor: i32,
    pid: i32,
}

/// `struct fanotify_event_info_header`.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct InfoHeader {
    kind: u8,
    pad: u8,
    length: u16,
}

/// What stands before the handle's bytes in `struct fanotify_event_info_fid`.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct FidHeader {
    filesystem: [u32; 2],
    handle_bytes: u32,
    handle_type: i32,
}

/// An event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Event {
    /// What happened: `FAN_CLOSE_WRITE` and so on.
    pub(super) mask: u64,
    /// The thread group that did it, as the reader sees it; 0 where it may not know.
    pub(super) pid: i32,
    /// The inode; absent in an overflow.
    pub(super) handle: Option<FileHandle>,
}

impl Event {
    /// Whether the kernel dropped events.
    pub(super) fn is_overflow(&self) -> bool {
        self.mask & libc::FAN_Q_OVERFLOW != 0
    }
}

/// Another version of the records than this program was written for, or a record cut short.
#[derive(Debug, thiserror::Error)]
#[error("the kernel's fanotify record at byte {at} is not of version 3; report its version")]
pub(super) struct Unknown {
    at: usize,
}

/// The events in what one read(2) gave.
///
/// # Errors
///
/// Fails at a record that cannot be understood; those before it are lost, too.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Event>, Unknown> {
    let mut events = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let (event, after) = parse_event(rest).ok_or(Unknown { at })?;
        events.push(event);
        rest = after;
    }
    Ok(events)
}

fn parse_event(bytes: &[u8]) -> Option<(Event, &[u8])> {
    let (metadata, _) = Metadata::read_from_prefix(bytes).ok()?;
    if metadata.version != libc::FANOTIFY_METADATA_VERSION {
        return None;
    }
    let length = usize::try_from(metadata.event_length).ok()?;
    let (event, after) = bytes.split_at_checked(length)?;
    let information = event.get(usize::from(metadata.metadata_length).max(1)..)?;
    let event = Event {
        mask: metadata.mask,
        pid: metadata.pid,
        handle: parse_information(information)?,
    };
    Some((event, after))
}

/// The handle among the information records; `None` where one is cut short.
fn parse_information(mut bytes: &[u8]) -> Option<Option<FileHandle>> {
    while !bytes.is_empty() {
        let (header, _) = InfoHeader::read_from_prefix(bytes).ok()?;
        let length = usize::from(header.length);
        let body = bytes.get(size_of::<InfoHeader>()..length)?;
        if header.kind == libc::FAN_EVENT_INFO_TYPE_FID {
            return parse_handle(body).map(Some);
        }
        bytes = &bytes[length..];
    }
    Some(None)
}

/// The handle is padded to a multiple of four bytes.
fn parse_handle(bytes: &[u8]) -> Option<FileHandle> {
    let (header, rest) = FidHeader::read_from_prefix(bytes).ok()?;
    let length = usize::try_from(header.handle_bytes).ok()?;
    Some(FileHandle {
        kind: header.handle_type,
        bytes: rest.get(..length)?.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(pid: i32, handle: &[u8]) -> Event {
        Event {
            mask: libc::FAN_CLOSE_NOWRITE,
            pid,
            handle: Some(FileHandle {
                kind: 1,
                bytes: handle.to_vec(),
            }),
        }
    }

    /// As the kernel writes it (`copy_event_to_user`).
    fn encode(event: &Event) -> Vec<u8> {
        let mut information = Vec::new();
        if let Some(handle) = &event.handle {
            let length = (20 + handle.bytes.len()).next_multiple_of(4);
            information.extend([libc::FAN_EVENT_INFO_TYPE_FID, 0]);
            information.extend((length as u16).to_ne_bytes());
            information.extend([7; 8]);
            information.extend((handle.bytes.len() as u32).to_ne_bytes());
            information.extend(handle.kind.to_ne_bytes());
            information.extend(&handle.bytes);
            information.resize(length, 0);
        }
        let mut bytes = Vec::new();
        bytes.extend((24 + information.len() as u32).to_ne_bytes());
        bytes.extend([libc::FANOTIFY_METADATA_VERSION, 0]);
        bytes.extend(24u16.to_ne_bytes());
        bytes.extend(event.mask.to_ne_bytes());
        bytes.extend(libc::FAN_NOFD.to_ne_bytes());
        bytes.extend(event.pid.to_ne_bytes());
        bytes.extend(information);
        bytes
    }

    #[test]
    fn an_overflow_names_no_inode() {
        let overflow = Event {
            mask: libc::FAN_Q_OVERFLOW,
            pid: 0,
            handle: None,
        };
        let bytes = [encode(&event(1, b"abcd")), encode(&overflow)].concat();
        let events = parse(&bytes).expect("parses");
        assert_eq!(events, [event(1, b"abcd"), overflow]);
        assert_eq!(
            events.iter().map(Event::is_overflow).collect::<Vec<_>>(),
            [false, true]
        );
    }

    #[test]
    fn other_information_is_passed_over() {
        let mut bytes = encode(&event(1, b"abcd"));
        let pidfd = [libc::FAN_EVENT_INFO_TYPE_PIDFD, 0, 8, 0, 9, 0, 0, 0];
        bytes.splice(24..24, pidfd);
        bytes[0] += pidfd.len() as u8;
        assert_eq!(parse(&bytes).expect("parses"), [event(1, b"abcd")]);
    }

    #[test]
    fn another_version_is_an_error_and_says_where() {
        let mut bytes = [encode(&event(1, b"abcd")), encode(&event(2, b"efgh"))].concat();
        let second = bytes.len() / 2;
        bytes[second + 4] = 4;
        let error = parse(&bytes).expect_err("version 4").to_string();
        assert!(error.contains(&format!("byte {second} ")), "{error}");
    }

    proptest! {
        #[test]
        fn what_the_kernel_writes_is_read(
            events in prop::collection::vec((any::<i32>(), prop::collection::vec(any::<u8>(), 0..128)), 0..9),
        ) {
            let events: Vec<Event> = events.iter().map(|(pid, handle)| event(*pid, handle)).collect();
            let bytes: Vec<u8> = events.iter().flat_map(encode).collect();
            prop_assert_eq!(parse(&bytes).expect("parses"), events);
        }

        #[test]
        fn a_cut_is_an_error(handle in prop::collection::vec(any::<u8>(), 0..40), cut in 1usize..24) {
            let bytes = encode(&event(1, &handle));
            prop_assert!(parse(&bytes[..bytes.len() - cut]).is_err());
        }

        #[test]
        fn no_input_panics_or_hangs(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
