//! Swap areas as mkswap(8) writes them: `union swap_header` of linux/swap.h.

use crate::sys::PAGE;

/// An empty area of as many pages, the header's among them.
pub(crate) fn area(pages: u32) -> Vec<u8> {
    let mut area = vec![0; PAGE * pages as usize];
    put_header(&mut area, pages - 1);
    area
}

/// Writes the header into the first page of an area, the last page having this number.
pub(crate) fn put_header(area: &mut [u8], last_page: u32) {
    const VERSION: usize = 1024;
    const LAST_PAGE: usize = VERSION + 4;
    const SIGNATURE: &[u8] = b"SWAPSPACE2";
    area[VERSION..][..4].copy_from_slice(&1_u32.to_ne_bytes());
    area[LAST_PAGE..][..4].copy_from_slice(&last_page.to_ne_bytes());
    area[PAGE - SIGNATURE.len()..PAGE].copy_from_slice(SIGNATURE);
}
