//! Threads whose work can wait: queries, the digest, merges. On a busy machine senders come first, because whoever waits for an
//! acknowledgement has rows in memory that nobody else has.

use thread_priority::{ThreadPriority, ThreadPriorityValue, set_current_thread_priority};

/// On the scale of the crate (0 to 99); on Linux a nice value of 5, with which a thread has a third of the time of one that was left
/// as it is when both want a processor, and all of it when the other does not.
const PRIORITY: u8 = 34;

/// Lets the threads of ingest go before this one, when both could run.
///
/// A system that does not allow it leaves the thread as it is: nothing depends on it but how long senders wait.
pub fn let_ingest_go_first() {
    let lower = ThreadPriorityValue::try_from(PRIORITY).map(ThreadPriority::Crossplatform);
    let done = lower
        .map_err(|error| error.to_owned())
        .and_then(|lower| set_current_thread_priority(lower).map_err(|error| format!("{error:?}")));
    if let Err(error) = done {
        tracing::debug!(error, "the system does not let a thread go behind others");
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
        // Who may raise priorities and runs this behind others anyway finds it at 5 as well.
        assert!(after >= 5 && (after == 5 || after == before), "{after} after {before}");
        assert_eq!(niceness(), before, "of this thread and no other one");
    }
}
