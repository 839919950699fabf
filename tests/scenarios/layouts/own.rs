//! Nobody else writes to the filesystem of /usr: it is sealed as a whole.

mod xfs {
    mod root {
        #[test]
        fn replaced_files_block_nothing() {
            crate::layouts::story::sealed();
        }
    }
}

mod btrfs {
    mod root {
        #[test]
        fn replaced_files_block_nothing() {
            crate::layouts::story::sealed();
        }
    }
}

mod lvm {
    mod root {
        #[test]
        fn replaced_files_block_nothing() {
            crate::layouts::story::sealed();
        }
    }
}

mod overlay {
    mod root {
        #[test]
        fn replaced_files_block_nothing() {
            crate::layouts::story::sealed_overlay();
        }
    }
}

/// /usr is a folder of the root filesystem.
#[expect(clippy::module_inception, reason = "layout and need have one name")]
mod root {
    mod root {
        #[test]
        fn replaced_files_block_nothing() {
            crate::layouts::story::sealed();
        }
    }
}
