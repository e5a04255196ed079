//! Prints the bill of materials (`make sbom`): docs/packaging.md.

#![allow(clippy::print_stdout, reason = "a command prints")]
#![allow(unreachable_pub, reason = "the bill is a library inside this binary")]

mod bill;

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let bill = bill::bill(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    println!("{}", serde_json::to_string_pretty(&bill)?);
    Ok(())
}
