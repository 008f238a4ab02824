//! The holders of SQLite's locks, as far as the system tells: Linux lists them with their processes.

use std::fs;
use std::ops::RangeInclusive;

/// The byte of the shared memory's file that a writer has locked. `os_unix.c` calls it `UNIX_SHM_BASE`.
const WRITER: u64 = 120;
/// The bytes that readers have locked: the last five of eight.
const READERS: RangeInclusive<u64> = 123..=127;
/// How often the list is searched for a holder.
const LOOKS: usize = 5;
/// The most processes that are named.
const MAX_NAMED: usize = 3;

/// The programs that hold the write lock on the log whose shared memory has that inode, as far as any is found.
pub(super) fn writers(shared_memory_inode: u64) -> Option<String> {
    named(&found(shared_memory_inode, &(WRITER..=WRITER)))
}

/// The programs that read it, other than this one.
pub(super) fn readers(shared_memory_inode: u64) -> Option<String> {
    named(&found(shared_memory_inode, &READERS))
}

/// The list is read in pages, and skips a line now and then where it changes: a holder that is not found is looked for
/// again.
fn found(inode: u64, bytes: &RangeInclusive<u64>) -> Vec<u32> {
    let looks = (0..LOOKS).map(|_| holders(&listed(), inode, bytes.clone()));
    looks.into_iter().find(|holders| !holders.is_empty()).unwrap_or_default()
}

/// Empty if the system does not tell.
fn listed() -> String {
    fs::read_to_string("/proc/locks").unwrap_or_default()
}

/// The processes with a lock on one of those bytes, other than this one.
fn holders(locks: &str, inode: u64, bytes: RangeInclusive<u64>) -> Vec<u32> {
    let mut holders: Vec<u32> = locks.lines().filter_map(|line| holder(line, inode, &bytes)).collect();
    holders.retain(|pid| *pid != std::process::id());
    holders.sort_unstable();
    holders.dedup();
    holders
}

/// `1: POSIX  ADVISORY  READ  4711 fe:00:1234567 123 123`; a waiting process has an arrow after its number.
fn holder(line: &str, inode: u64, bytes: &RangeInclusive<u64>) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "POSIX", _, _, pid, file, first, last] = words[..] else { return None };
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let is_it = file.rsplit(':').next()?.parse() == Ok(inode) && first <= *bytes.end() && last >= *bytes.start();
    if is_it { pid.parse().ok().filter(|pid| *pid > 0) } else { None }
}

fn named(pids: &[u32]) -> Option<String> {
    let name = |pid: &u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("{} (process {pid})", name.trim_end())
    };
    let names: Vec<String> = pids.iter().take(MAX_NAMED).map(name).collect();
    match pids.len().saturating_sub(MAX_NAMED) {
        _ if names.is_empty() => None,
        0 => Some(names.join(", ")),
        more => Some(format!("{} and {more} more", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_locks_is_read() {
        let locks = "1: POSIX  ADVISORY  READ 4711 fe:00:99 124 124\n\
                     1: -> POSIX  ADVISORY  WRITE 4712 fe:00:99 123 123\n\
                     2: POSIX  ADVISORY  WRITE 4713 fe:00:99 120 120\n\
                     3: FLOCK  ADVISORY  WRITE 4714 fe:00:99 0 EOF\n\
                     4: POSIX  ADVISORY  READ 4715 fe:00:98 124 124\n\
                     5: POSIX  ADVISORY  READ 4711 fe:00:99 128 128\n";
        assert_eq!(holders(locks, 99, READERS), [4711]);
        assert_eq!(holders(locks, 99, WRITER..=WRITER), [4713]);
        assert_eq!(named(&[]), None);
        assert!(named(&[std::process::id()]).is_some_and(|who| who.contains(&std::process::id().to_string())));
    }
}
