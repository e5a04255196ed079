//! What is packaged starts: the arguments of the unit, the image and the manifest are taken by the executable.

use std::path::Path;
use std::process::Command;

fn text(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(file))
        .expect("the file is here")
}

/// Words of a JSON list behind a mark.
fn list(text: &str, mark: &str) -> Vec<String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(mark)).unwrap_or_else(|| panic!("no {mark}"));
    serde_json::from_str(line.trim()).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// The configuration in force with these arguments; an argument that does not exist is an error.
fn config(args: &[String]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_hodoscope")).arg("config").args(args).output().expect("it runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn packaged_arguments_are_taken() {
    let image = text("Dockerfile");
    let (entry, usual) = (list(&image, "ENTRYPOINT "), list(&image, "CMD "));
    assert_eq!(entry[0], "/usr/local/bin/hodoscope");
    let told = config(&[&entry[1..], &usual].concat());
    assert!(told.contains("0.0.0.0:4317") && told.contains("keys.json"), "{told}");
    let manifest = list(&text("kubernetes.yaml"), "args: ");
    assert_eq!(config(&[&entry[1..], &manifest].concat()), told, "the manifest starts it as the image does");

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hodoscope.toml");
    std::fs::write(&file, config(&[])).expect("written");
    let unit = text("hodoscope.service");
    let command =
        unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/hodoscope ")).expect("a command");
    let command = command.replace("/etc/hodoscope/hodoscope.toml", &file.display().to_string());
    let args: Vec<String> = command.split(' ').map(str::to_owned).collect();
    assert!(config(&args).contains("data = \"/var/lib/hodoscope\""));
}

/// Addresses beyond loopback are refused without keys: what is packaged must name some.
#[test]
fn s1_packages_ask_for_keys() {
    for file in ["Dockerfile", "kubernetes.yaml"] {
        assert!(text(file).contains("--keys-file") && !text(file).contains("--allow-insecure"), "{file}");
    }
}
