//! How soon memory that was freed goes back to the system.
//!
//! The allocator gives it back a second after it was freed, so that it need not ask for it again if it is needed before. Under load a second is
//! hundreds of megabytes. How long it waits it reads from the environment before `main` begins, and nothing safe changes it afterwards; so a
//! collector that was started without the variable starts itself again with it. The process stays the same one.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// What the allocator reads: milliseconds, and -1 for never.
const VARIABLE: &str = "MIMALLOC_PURGE_DELAY";
/// Long enough that what one request leaves behind serves the next one, short enough that a burst is gone with it: docs/decisions/44-memory-of-requests.md.
const DELAY_MS: &str = "100";

/// Makes sure that memory goes back soon, unless the environment says when. Starts the program again for it; when that is not possible, it
/// goes on as it is and says so.
pub(crate) fn give_back_soon() {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return tracing::warn!(%error, "freed memory is kept for a second: {VARIABLE} is not set"),
    };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    // Run by another program (an emulator, the dynamic linker), that one is what would be started again.
    if Path::new(&name).file_name() != program.file_name() {
        return tracing::info!(
            "freed memory is kept for a second: {VARIABLE} is not set, and the program was started under another name"
        );
    }
    let mut again = Command::new(program);
    again.arg0(name);
    // Comes back only when it has failed.
    let error = again.args(arguments).env(VARIABLE, DELAY_MS).exec();
    tracing::warn!(%error, "freed memory is kept for a second: {VARIABLE} is not set");
}
