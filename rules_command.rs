//! `hodoscope rules`: checks and rehearses rule files, for people and for CI.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use query::{Report, check_rules, test_rules};

use crate::config::command_line::RulesAction;

/// The files could be read and something in them is wrong.
const PROBLEMS: u8 = 2;

/// Runs the command and says the result.
pub(crate) fn run(action: &RulesAction) -> ExitCode {
    let done = match action {
        RulesAction::Check(told) => read_all(&told.files).and_then(|files| block_on(check_rules(&files))),
        RulesAction::Test(told) => read_all(&told.files).and_then(|files| block_on(test_rules(&files, beside))),
    };
    match done {
        Ok(report) => {
            let mut out = std::io::stdout();
            // A reader that has gone away is no error.
            let _ = out.write_all(report.text.as_bytes()).and_then(|()| out.flush());
            if report.problems > 0 { ExitCode::from(PROBLEMS) } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "hodoscope: {error}");
            ExitCode::FAILURE
        }
    }
}

fn block_on(work: impl Future<Output = query::Result<Report>>) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start threads: {error}"))?;
    runtime.block_on(work).map_err(|error| error.to_string())
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<(String, String)>, String> {
    paths.iter().map(|path| Ok((path.display().to_string(), read(path)?))).collect()
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// A rule file that a test file names, relative to the test file.
fn beside(test_file: &str, wanted: &str) -> Result<String, String> {
    let folder = Path::new(test_file).parent().unwrap_or_else(|| Path::new("."));
    read(&folder.join(wanted))
}
