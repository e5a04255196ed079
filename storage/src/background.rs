//! Threads whose work can wait: queries, the digest, merges. On a busy machine senders come first, because whoever waits for an
//! acknowledgement has rows in memory that nobody else has.

/// A thread with it has a third of the time of one that was left as it is when both want a processor, and all of it when the other does not.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

/// Lets the threads of ingest go before this one, when both could run. A process that runs behind others already stays there.
///
/// A system that does not allow it leaves the thread as it is: nothing depends on it but how long senders wait. Only Linux has niceness of
/// threads; elsewhere it is one of the process, and nothing is changed.
pub fn let_ingest_go_first() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let lower = |niceness| if niceness < NICENESS { setpriority_process(None, NICENESS) } else { Ok(()) };
        if let Err(error) = getpriority_process(None).and_then(lower) {
            tracing::debug!(%error, "the system does not let a thread go behind others");
        }
    }
}

#[cfg(test)]
mod tests {
    /// The kernel's own word for it.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_knows() {
        let niceness = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux");
            let after_name = stat.rsplit_once(')').expect("a name").1.to_owned();
            // The 19th field of the line; two stand before the parenthesis.
            after_name.split_whitespace().nth(16).expect("a field").parse::<i32>().expect("a number")
        };
        let (before, after) = std::thread::spawn(move || {
            let before = niceness();
            super::let_ingest_go_first();
            (before, niceness())
        })
        .join()
        .expect("no panic");
        assert_eq!(after, before.max(super::NICENESS), "never before where it was");
        assert_eq!(niceness(), before, "of this thread and no other one");
    }
}
