//! The bill of materials (SBOM): what is in the program and in the page, as CycloneDX 1.5, from `cargo metadata` and `Cargo.lock`.
//!
//! Crates that only tests or benches use are not in it. It holds no date and no path of the machine: two of one commit are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};
use toml::{Table, Value};

/// What is built: the crate, and what it is built for.
pub const PARTS: [(&str, &str); 2] = [("hodoscope", "x86_64-unknown-linux-gnu"), ("ui", "wasm32-unknown-unknown")];

/// What cargo knows of the tree for a target.
///
/// # Errors
/// What cargo says.
pub fn metadata(root: &Path, triple: &str) -> Result<Json, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", triple]).current_dir(root);
    let output = command.output().map_err(|error| format!("cargo does not run: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// The bill of this project.
///
/// # Errors
/// What cannot be read.
pub fn bill(root: &Path) -> Result<Json, String> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).map_err(|error| error.to_string())?;
    let checksums = checksums(&lock.parse::<Table>().map_err(|error| error.to_string())?);
    let mut components: BTreeMap<String, Json> = BTreeMap::new();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut program = Json::Null;
    for (part, triple) in PARTS {
        let metadata = metadata(root, triple)?;
        let packages: BTreeMap<&str, &Json> =
            list(&metadata["packages"]).iter().map(|package| (text(&package["id"]), package)).collect();
        let nodes: BTreeMap<&str, &Json> =
            list(&metadata["resolve"]["nodes"]).iter().map(|node| (text(&node["id"]), node)).collect();
        let begin = packages.iter().find(|(_, package)| package["name"] == part && package["source"].is_null());
        let (begin, _) = begin.ok_or_else(|| format!("there is no crate {part}"))?;
        let (mut open, mut seen) = (vec![*begin], BTreeSet::from([*begin]));
        while let Some(id) = open.pop() {
            let (Some(package), Some(node)) = (packages.get(id), nodes.get(id)) else { continue };
            let component = components.entry(purl(package)).or_insert_with(|| component(package, &checksums));
            if id == *begin && part == "hodoscope" {
                program = component.clone();
            }
            let parts = component["properties"].as_array_mut().expect("a component has properties");
            parts.push(json!({ "name": "hodoscope:part", "value": if part == "ui" { "page" } else { "program" } }));
            for dependency in list(&node["deps"]) {
                let is_built = list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev");
                let to = text(&dependency["pkg"]);
                if is_built {
                    let of = packages.get(to).map(|package| purl(package));
                    edges.entry(purl(package)).or_default().extend(of);
                    if seen.insert(to) {
                        open.push(to);
                    }
                }
            }
        }
    }
    let dependencies: Vec<Json> = components
        .keys()
        .map(|purl| json!({ "ref": purl, "dependsOn": edges.get(purl).cloned().unwrap_or_default() }))
        .collect();
    program["type"] = json!("application");
    let components: Vec<Json> =
        components.into_values().filter(|component| component["bom-ref"] != program["bom-ref"]).collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": program },
        "components": components,
        "dependencies": dependencies,
    }))
}

fn component(package: &Json, checksums: &BTreeMap<(String, String), String>) -> Json {
    let key = (text(&package["name"]).to_owned(), text(&package["version"]).to_owned());
    let purl = purl(package);
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": key.0,
        "version": key.1,
        "purl": purl,
        // An old way to write OR.
        "licenses": [{ "expression": text(&package["license"]).replace(" / ", " OR ").replace('/', " OR ") }],
        "properties": [],
    });
    if let Some(checksum) = checksums.get(&key) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(url) = package["repository"].as_str() {
        component["externalReferences"] = json!([{ "type": "vcs", "url": url }]);
    }
    component
}

fn purl(package: &Json) -> String {
    format!("pkg:cargo/{}@{}", text(&package["name"]), text(&package["version"]))
}

/// SHA-256 of the archives of crates, by name and version.
fn checksums(lock: &Table) -> BTreeMap<(String, String), String> {
    let packages = lock.get("package").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let checksum = |package: &Value| {
        let text = |name: &str| package.get(name)?.as_str().map(str::to_owned);
        Some(((text("name")?, text("version")?), text("checksum")?))
    };
    packages.iter().filter_map(checksum).collect()
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}
