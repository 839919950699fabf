//! Where the running kernel keeps the members that the BPF programs read.

use std::path::Path;

use btf_rs::{Btf, Struct, Type};
use rousr_ebpf::globals;

/// The kernel's own type information, there since Linux 5.2 with `CONFIG_DEBUG_INFO_BTF`.
pub(super) const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Each global of the programs with the structure and the member whose offset it holds.
const MEMBERS: [(&str, &str, &str); 38] = [
    (globals::FILE_INODE, "file", "f_inode"),
    (globals::FILE_MAPPING, "file", "f_mapping"),
    (globals::FILE_MODE, "file", "f_mode"),
    (globals::INODE_SUPER, "inode", "i_sb"),
    (globals::INODE_READERS, "inode", "i_readcount"),
    (globals::INODE_WRITERS, "inode", "i_writecount"),
    (globals::INODE_REFERENCES, "inode", "i_count"),
    (globals::INODE_DENTRIES, "inode", "i_dentry"),
    (globals::INODE_MARKS, "inode", "i_fsnotify_marks"),
    (globals::DENTRY_REFERENCES, "dentry", "d_lockref.count"),
    (globals::SUPER_DEVICE, "super_block", "s_dev"),
    (globals::MAPPING_HOST, "address_space", "host"),
    (globals::AREA_FILE, "vm_area_struct", "vm_file"),
    (globals::TASK_GROUP, "task_struct", "tgid"),
    (globals::TASK_LEADER, "task_struct", "group_leader"),
    (globals::TASK_STARTED, "task_struct", "start_boottime"),
    // What the visits read besides.
    (globals::INODE_NUMBER, "inode", "i_ino"),
    (globals::INODE_GENERATION, "inode", "i_generation"),
    (globals::INODE_LINKS, "inode", "i_nlink"),
    (globals::INODE_MODE, "inode", "i_mode"),
    (globals::AREA_START, "vm_area_struct", "vm_start"),
    (globals::TASK_NAME, "task_struct", "comm"),
    (globals::TASK_MEMORY, "task_struct", "mm"),
    (globals::TASK_PLACE, "task_struct", "fs"),
    (globals::TASK_GROUPS, "task_struct", "cgroups"),
    (globals::GROUPS_UNIFIED, "css_set", "dfl_cgrp"),
    (globals::GROUP_NODE, "cgroup", "kn"),
    (globals::NODE_NUMBER, "kernfs_node", "id"),
    (globals::MEMORY_PROGRAM, "mm_struct", "exe_file"),
    (globals::PLACE_CURRENT, "fs_struct", "pwd"),
    (globals::PLACE_ROOT, "fs_struct", "root"),
    (globals::PATH_ENTRY, "path", "dentry"),
    (globals::ENTRY_INODE, "dentry", "d_inode"),
    (globals::ENTRY_PARENT, "dentry", "d_parent"),
    (globals::FILE_PATH, "file", "f_path"),
    (globals::SUPER_NAMELESS, "super_block", "s_remove_count"),
    (globals::SOCKET_SOCK, "socket", "sk"),
    (globals::SOCK_IN_FLIGHT, "unix_sock", "scm_stat.nr_fds"),
];

/// Why the offsets could not be read.
#[derive(Debug, thiserror::Error)]
pub enum OffsetError {
    /// The type information could not be read.
    #[error(
        "cannot read the kernel's type information ({KERNEL_BTF}): {0}; boot a kernel built with CONFIG_DEBUG_INFO_BTF"
    )]
    Btf(#[from] btf_rs::Error),
    /// The kernel has no such structure, or it lacks the member.
    #[error(
        "this kernel has no {structure}.{member}; rousr does not know it yet, report its version"
    )]
    Unknown {
        /// Name of the structure.
        structure: String,
        /// Name of the member.
        member: String,
    },
}

/// Reads the offsets, in bytes, of every member the programs need, by the name of their global.
///
/// # Errors
///
/// Fails where the kernel has no BTF or another layout than any we know.
pub(super) fn read(btf: &Path) -> Result<Vec<(&'static str, u64)>, OffsetError> {
    let btf = Btf::from_file(btf)?;
    MEMBERS
        .iter()
        .map(|(global, structure, member)| Ok((*global, offset(&btf, structure, member)?)))
        .chain([dentry_alias(&btf).map(|offset| (globals::DENTRY_ALIAS, offset))])
        .collect()
}

/// The union of `d_alias` had a name on older kernels.
fn dentry_alias(btf: &Btf) -> Result<u64, OffsetError> {
    offset(btf, "dentry", "d_alias").or_else(|_| offset(btf, "dentry", "d_u.d_alias"))
}

/// The offset of `member` in `structure`, in bytes; `a.b` is the member b of the member a.
fn offset(btf: &Btf, structure: &str, member: &str) -> Result<u64, OffsetError> {
    // A name can stand for several kinds; a kernel has one structure of it.
    for candidate in btf.resolve_types_by_name(structure).unwrap_or_default() {
        if let Type::Struct(candidate) = candidate
            && let Some(bits) = bit_offset(btf, &candidate, member)?
        {
            return Ok(u64::from(bits / 8));
        }
    }
    Err(OffsetError::Unknown {
        structure: structure.to_owned(),
        member: member.to_owned(),
    })
}

/// Looks through anonymous structures and unions, as C does.
fn bit_offset(btf: &Btf, within: &Struct, path: &str) -> Result<Option<u32>, OffsetError> {
    let (first, rest) = path
        .split_once('.')
        .map_or((path, None), |(first, rest)| (first, Some(rest)));
    for candidate in &within.members {
        let name = btf.resolve_name(candidate)?;
        let wanted = match rest {
            None if name == first => return Ok(Some(candidate.bit_offset())),
            Some(rest) if name == first => rest,
            _ if name.is_empty() => path,
            _ => continue,
        };
        if let Type::Struct(inner) | Type::Union(inner) = btf.resolve_chained_type(candidate)?
            && let Some(bits) = bit_offset(btf, &inner, wanted)?
        {
            return Ok(Some(candidate.bit_offset() + bits));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use object::{Object as _, ObjectSection as _};

    use super::*;

    /// The programs' own type information: real BTF, with a layout the ABI fixes.
    fn programs() -> Btf {
        let object = object::File::parse(crate::track::bpf::OBJECT).expect("the object is ELF");
        let section = object.section_by_name(".BTF").expect("the object has BTF");
        Btf::from_bytes(section.data().expect("the section has data")).expect("the BTF is sound")
    }

    #[test]
    fn finds_members_by_name() {
        let btf = programs();
        for (member, expected) in [("inode", 0), ("at", 8), ("reason", 16)] {
            assert_eq!(
                offset(&btf, "Release", member).unwrap(),
                expected,
                "{member}"
            );
        }
    }

    #[test]
    fn names_what_is_missing() {
        let error = offset(&programs(), "Release", "nowhere")
            .unwrap_err()
            .to_string();
        assert!(error.contains("Release.nowhere"), "{error}");
    }

    #[test]
    fn names_a_missing_file() {
        let error = read(Path::new("/nowhere/vmlinux")).unwrap_err().to_string();
        assert!(error.contains("CONFIG_DEBUG_INFO_BTF"), "{error}");
    }
}
