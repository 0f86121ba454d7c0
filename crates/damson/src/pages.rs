//! The size of this process's memory pages.

use nix::sys::prctl;

/// Lets the kernel back memory by small pages only, for the rest of the process and those that it starts.
///
/// A huge page is zeroed and held whole for the first byte that is touched in it. Operators make room ahead (a coalescer for
/// 8,192 rows, a string builder for 1 MiB), each on every segment: 64 joins in a process held 2.5 GiB for 20 MB of rows, and
/// 12 of their 16 s were the kernel's zeroing. Small pages do not cost TPC-H anything that can be measured.
pub fn use_small_pages() {
    if let Err(error) = prctl::set_thp_disable(true) {
        tracing::warn!(%error, "transparent huge pages stay on: many segments in one process will need more memory");
    }
}
