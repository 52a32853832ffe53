//! What the kernel tells of a process: processor time and memory. And its end.

use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sluice_e2e::wait;

use crate::Failure;

/// A tick of `/proc/<pid>/stat`: Linux shows programs 100 a second, everywhere.
pub const TICK: Duration = Duration::from_millis(10);

/// Processor time that the process `id` has taken so far, in user and kernel, of all threads.
///
/// # Errors
/// There is no such process.
pub fn cpu(id: u32) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    let ticks = ticks(&stat).ok_or_else(|| format!("/proc/{id}/stat is not as expected: {stat}"))?;
    Ok(TICK * ticks)
}

/// `utime` and `stime`, <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>. A name may hold spaces and brackets.
fn ticks(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11).map(str::parse::<u32>);
    Some(fields.next()?.ok()? + fields.next()?.ok()?)
}

/// Memory that the process `id` has in use: its resident set, in bytes.
///
/// # Errors
/// There is no such process.
pub fn resident(id: u32) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    Ok(rss(&status).ok_or_else(|| format!("/proc/{id}/status holds no VmRSS"))? * 1024)
}

fn rss(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

/// Asks a process to end, so that it writes what it writes at its end, and does not wait for ever.
pub fn end(child: &mut Child) {
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
    if wait::poll(Duration::from_secs(10), || child.try_wait().ok().flatten()).is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::{cpu, resident, rss, ticks};

    #[test]
    fn ticks_are_user_and_kernel_time_whatever_the_name() {
        let stat = "77 (a ) b) S 1 77 77 0 -1 4194560 9 0 0 0 1234 66 5 5 20 0 1 0 9 0 0";
        assert_eq!(ticks(stat), Some(1300));
        assert_eq!(ticks("77 (a) S 1"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn memory_is_the_resident_set() {
        assert_eq!(rss("Name:\ta\nVmRSS:\t   4321 kB\nThreads:\t1\n"), Some(4321));
        assert_eq!(rss("Name:\ta\n"), None);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let id = std::process::id();
        assert!(cpu(id).is_ok());
        assert!(resident(id).unwrap() > 1_000_000);
    }
}
