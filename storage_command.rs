//! `hodoscope storage`: looks into the data for people, and for machines with `--json`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use model::{TenantId, TimeRange, UnixNanos};
use serde::Serialize;
use storage::Config;
use storage::inspect::{
    Compacted, Export, Exported, Files, Inspector, Listing, Problem, Rebuilt, TableListing, Verification,
};
use storage::table::Table;

use crate::config::command_line::{ExportArgs, Storage, StorageAction};

/// The data could be looked at and is not as it should be.
const PROBLEMS: u8 = 2;

/// What to print, and whether anything is wrong.
struct Answer {
    text: String,
    json: String,
    has_problems: bool,
}

/// Runs the command and says the result.
pub(crate) fn run(told: &Storage, config: &Config) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("cannot start threads: {error}")),
    };
    match runtime.block_on(answer(&told.action, config)) {
        Ok(answer) => {
            let text = if told.json { &answer.json } else { &answer.text };
            let mut out = std::io::stdout();
            // A reader that has gone away is no error.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            if answer.has_problems { ExitCode::from(PROBLEMS) } else { ExitCode::SUCCESS }
        }
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "hodoscope: {error}");
    ExitCode::FAILURE
}

async fn answer(action: &StorageAction, config: &Config) -> Result<Answer, String> {
    let text = |error: storage::Error| error.to_string();
    match action {
        StorageAction::Ls(args) => {
            let listing = Inspector::look(config).await.map_err(text)?.list(args.columns).await.map_err(text)?;
            made(list(&listing), &listing, false)
        }
        StorageAction::Verify => {
            let seen = Inspector::look(config).await.map_err(text)?.verify().await.map_err(text)?;
            made(verification(&seen), &seen, !seen.problems.is_empty())
        }
        StorageAction::Export(args) => {
            let export = export(args)?;
            let done = Inspector::look(config).await.map_err(text)?.export(&export).await.map_err(text)?;
            made(exported(&done, &export), &done, false)
        }
        StorageAction::Compact(args) => {
            let done = Inspector::compact(config, args.take_over).await.map_err(text)?;
            made(compacted(&done), &done, !done.problems.is_empty())
        }
        StorageAction::RebuildIndex(args) => {
            let inspector = Inspector::own(config, args.take_over).await.map_err(text)?;
            let done = inspector.rebuild_index().await.map_err(text)?;
            made(rebuilt(&done), &done, !done.problems.is_empty())
        }
    }
}

fn made(text: String, answer: &impl Serialize, has_problems: bool) -> Result<Answer, String> {
    let mut json = serde_json::to_string_pretty(answer).map_err(|error| error.to_string())?;
    json.push('\n');
    Ok(Answer { text, json, has_problems })
}

fn export(args: &ExportArgs) -> Result<Export, String> {
    let table = Table::by_name(&args.table).ok_or_else(|| {
        let names: Vec<&str> = storage::TABLES.iter().map(|table| table.name).collect();
        format!("there is no table {:?}; --table takes one of {}", args.table, names.join(", "))
    })?;
    let tenant = TenantId::new(&args.tenant).ok_or_else(|| format!("{:?} is no tenant's name", args.tenant))?;
    let day = |text: &Option<String>, flag: &str, end_of_day: bool| match text {
        None => Ok(None),
        Some(text) => {
            let day = parse_day(text).ok_or_else(|| format!("--{flag} takes a day as YYYY-MM-DD, not {text:?}"))?;
            Ok::<_, String>(Some(UnixNanos((day + i64::from(end_of_day)) * UnixNanos::DAY)))
        }
    };
    let start = day(&args.from_day, "from-day", false)?.unwrap_or(TimeRange::ALL.start);
    let end = day(&args.to_day, "to-day", true)?.unwrap_or(TimeRange::ALL.end);
    if start >= end {
        return Err("--from-day is after --to-day".to_owned());
    }
    Ok(Export { tenant, table, range: TimeRange { start, end }, to: args.to.clone() })
}

/// Days since 1970.
fn parse_day(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-').map(|part| part.parse::<i32>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let month = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = time::Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok()?;
    Some((date - time::macros::date!(1970 - 01 - 01)).whole_days())
}

fn list(listing: &Listing) -> String {
    let mut text = String::new();
    let files = |files: &Files| format!("{} files, {}", number(files.files), size(files.bytes));
    let _ = writeln!(text, "data        {}", listing.data);
    let _ = writeln!(text, "WAL         {}", files(&listing.wal));
    let _ = writeln!(text, "quarantine  {}", files(&listing.quarantine));
    for table in &listing.tables {
        let per_row = table.bytes.checked_div(table.rows).unwrap_or_default();
        let _ = writeln!(
            text,
            "\n{} / {}: {} rows in {} segments, {}, {per_row} bytes per row",
            table.tenant,
            table.table,
            number(table.rows),
            number(table.segments),
            size(table.bytes)
        );
        for day in &table.days {
            let _ = writeln!(
                text,
                "  {}  {:>6} segments  {:>15} rows  {:>12}",
                day.day,
                number(day.segments),
                number(day.rows),
                size(day.bytes)
            );
        }
        list_columns(&mut text, table);
    }
    text
}

fn list_columns(text: &mut String, table: &TableListing) {
    if table.columns.is_empty() {
        return;
    }
    let per_row = |bytes: u64| bytes as f64 / table.rows.max(1) as f64;
    let _ = writeln!(text, "  column                          bytes/row   share  before zstd");
    for column in &table.columns {
        let _ = writeln!(
            text,
            "  {:<30}  {:>9.2}  {:>5.1} %  {:>11.2}",
            column.column,
            per_row(column.bytes),
            100.0 * column.bytes as f64 / table.bytes.max(1) as f64,
            per_row(column.encoded_bytes)
        );
    }
    let _ = writeln!(text, "  {:<30}  {:>9.2}", "indexes, beside them", per_row(table.index_bytes));
}

fn verification(seen: &Verification) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "WAL       {} files, {} whole appends, {} end as after a crash",
        number(seen.wal_files),
        number(seen.wal_records),
        number(seen.torn_tails)
    );
    let _ = writeln!(
        text,
        "segments  {} in {} tables, {} rows, {}",
        number(seen.segments),
        number(seen.tables),
        number(seen.rows),
        size(seen.bytes)
    );
    let _ = writeln!(
        text,
        "indexes   {} right, {} will be built when they are asked for",
        number(seen.indexes),
        number(seen.indexes_to_build)
    );
    text.push_str(&problems(&seen.problems));
    text
}

fn problems(problems: &[Problem]) -> String {
    if problems.is_empty() {
        return "no problems\n".to_owned();
    }
    let lines = problems.iter().map(|problem| format!("  {}\n    {}\n", problem.path, problem.detail));
    format!("{} problems\n{}", problems.len(), lines.collect::<String>())
}

fn exported(done: &Exported, export: &Export) -> String {
    format!(
        "{} files with {} rows, {}, in {}\n",
        number(done.files),
        number(done.rows),
        size(done.bytes),
        export.to.display()
    )
}

fn compacted(done: &Compacted) -> String {
    format!(
        "{} segments with {} became {} with {}, {} rows; {} merges wrote {} rows, {} old files were removed\n{}",
        number(done.segments[0]),
        size(done.bytes[0]),
        number(done.segments[1]),
        size(done.bytes[1]),
        number(done.rows),
        number(done.merges),
        number(done.merged_rows),
        number(done.vacuumed_files),
        problems(&done.problems)
    )
}

fn rebuilt(done: &Rebuilt) -> String {
    format!("{} indexes built, {} were right\n{}", number(done.built), number(done.kept), problems(&done.problems))
}

/// Thousands apart: 1234567 is 1,234,567.
fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that people would choose.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_numbers_are_for_people() {
        assert_eq!([number(0), number(999), number(1_234_567)], ["0", "999", "1,234,567"]);
        assert_eq!([size(0), size(1023), size(1536), size(5 << 30)], ["0 bytes", "1023 bytes", "1.5 KiB", "5.0 GiB"]);
        assert_eq!(parse_day("1970-01-02"), Some(1));
        assert_eq!((parse_day("2026-11-31"), parse_day("yesterday")), (None, None));
    }
}
