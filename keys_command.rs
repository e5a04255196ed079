//! `hodoscope keys`: makes, lists and revokes the keys that peers send.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use door::{Key, NewKey, create_key, list_keys, revoke_key};
use model::{Scope, TenantId};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::command_line::{KeysAction, NewKeyArgs};

/// Runs the command; what it says goes to stdout.
///
/// # Errors
/// One sentence for the person who typed it.
pub(crate) fn run(action: &KeysAction, keys_file: &str) -> Result<String, String> {
    if keys_file.is_empty() {
        return Err("where are the keys? Name the file with --keys-file, or set door.keys_file".to_owned());
    }
    let path = Path::new(keys_file);
    match action {
        KeysAction::Create(told) => create(path, told),
        KeysAction::List => Ok(table(&list_keys(path)?)),
        KeysAction::Revoke(told) => {
            revoke_key(path, &told.id).map(|key| format!("revoked {} ({})\n", key.id, key.name))
        }
    }
}

fn create(path: &Path, told: &NewKeyArgs) -> Result<String, String> {
    let scope = |word: &String| {
        let scope = Scope::from_word(word).filter(|scope| *scope != Scope::Open);
        scope.ok_or_else(|| format!("there is no scope {word:?}; there are ingest, read and admin"))
    };
    let tenant = TenantId::new(&told.tenant);
    let new = NewKey {
        name: told.name.clone(),
        tenant: tenant.ok_or("a tenant name has 1 to 64 characters of A-Z a-z 0-9 _ -")?,
        scopes: told.scope.iter().map(scope).collect::<Result<_, _>>()?,
        valid_for: told.days.map(|days| Duration::from_secs(days.saturating_mul(86_400))),
    };
    let (_, text) = create_key(path, &new)?;
    // The key alone on stdout, so that a script can take it; the rest is for people.
    let _ = writeln!(std::io::stderr(), "This is the only time the key is shown:");
    Ok(format!("{text}\n"))
}

fn table(keys: &[Key]) -> String {
    let moment = |unix_s: u64| {
        let moment = i64::try_from(unix_s).ok().and_then(|unix_s| OffsetDateTime::from_unix_timestamp(unix_s).ok());
        moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| "?".to_owned())
    };
    let mut text = format!("{:<10} {:<12} {:<20} {:<22} {:<22} name\n", "id", "tenant", "scopes", "created", "expires");
    for key in keys {
        let expires = key.expires_unix_s.map_or_else(|| "never".to_owned(), moment);
        let (scopes, created) = (key.scopes.join(","), moment(key.created_unix_s));
        text += &format!("{:<10} {:<12} {scopes:<20} {created:<22} {expires:<22} {}\n", key.id, key.tenant, key.name);
    }
    text
}
