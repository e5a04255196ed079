//! The rule files that the settings name, read as texts.

use std::collections::BTreeMap;
use std::path::Path;

/// Largest rule file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The texts of all files that the settings name; `*` in the last part of a path stands for any letters.
pub(super) fn read_files(patterns: &[String]) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let (mut files, mut broken) = (BTreeMap::new(), BTreeMap::new());
    for pattern in patterns {
        let names = match pattern.contains('*') {
            true => matching(pattern),
            false => Ok(vec![pattern.clone()]),
        };
        let names = match names {
            Ok(names) => names,
            Err(error) => {
                broken.insert(pattern.clone(), error);
                continue;
            }
        };
        for name in names {
            let size = std::fs::metadata(&name).map(|found| found.len());
            let text = match size {
                Ok(size) if size > FILE_BYTES_MAX => {
                    Err(format!("it has {size} bytes, at most {FILE_BYTES_MAX} are read"))
                }
                Ok(_) => std::fs::read_to_string(&name).map_err(|error| format!("it cannot be read: {error}")),
                Err(error) => Err(format!("it cannot be read: {error}")),
            };
            match text {
                Ok(text) => drop(files.insert(name, text)),
                Err(error) => drop(broken.insert(name, error)),
            }
        }
    }
    (files, broken)
}

/// Files whose names fit a pattern.
fn matching(pattern: &str) -> Result<Vec<String>, String> {
    let path = Path::new(pattern);
    let (folder, last) =
        (path.parent().unwrap_or_else(|| Path::new(".")), path.file_name().and_then(|name| name.to_str()));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let parts: Vec<&str> = last.unwrap_or_default().split('*').collect();
    let fits = |name: &str| {
        let Some(mut rest) = name.strip_prefix(parts[0]) else { return false };
        let (middle, end) = parts[1..].split_at(parts.len() - 2);
        for part in middle {
            match rest.split_once(part) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        rest.ends_with(end[0])
    };
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found: Vec<String> = names
        .filter(|name| !name.starts_with('.') && fits(name))
        .map(|name| folder.join(name).display().to_string())
        .collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_files() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a.yml", "b.yml", "ab.yaml", ".c.yml"] {
            std::fs::write(folder.path().join(name), name).expect("written");
        }
        let pattern = |last: &str| folder.path().join(last).display().to_string();
        let found = |last: &str| read_files(&[pattern(last)]).0.into_values().collect::<Vec<_>>();
        assert_eq!(found("*.yml"), ["a.yml", "b.yml"]);
        assert_eq!(found("a*.y*l"), ["a.yml", "ab.yaml"]);
        assert_eq!(found("a.yml"), ["a.yml"]);
        let (files, broken) = read_files(&[pattern("absent.yml"), pattern("absent/*.yml")]);
        assert_eq!((files.len(), broken.len()), (0, 2));
    }
}
