//! OTLP in protobuf, read straight from the bytes: no structs in between, nothing copied but what must be mended.
//!
//! | file          | knows                                                                            |
//! |---------------|----------------------------------------------------------------------------------|
//! | `reader.rs`   | protobuf itself: tags, varints, lengths, groups; never past the end               |
//! | `messages.rs` | the fields of each message, one line per field                                    |
//! | this file     | the envelopes: request, resource, scope                                           |
//!
//! Fields may come in any order, so a resource is walked twice: first for what all its rows share (the
//! resource itself, which may come in pieces or last), then for its scopes; a scope likewise.
//!
//! What is accepted is exactly what prost accepts, with one exception: a `string` that is not UTF-8 is mended
//! (J13) and not refused. Property tests hold the walker to that (`tests/wire.rs`).

pub(crate) mod messages;
mod reader;

pub(crate) use reader::{Reader, WireError};

use super::message::{Arena, Message as _, Resource, Scope, Signal, Sink};
use reader::{bytes, fields};

/// Reads a request into a sink.
///
/// # Errors
/// The body is no such message. What the sink has taken by then is of no use.
pub(crate) fn walk<S: Signal>(body: &[u8], arena: &mut Arena, sink: &mut impl Sink<S>) -> Result<(), WireError> {
    const RESOURCES: u32 = bytes(1);
    let mut request = Reader::new(body);
    while let Some(key) = request.key()? {
        match key {
            RESOURCES => {
                let resource = request.message()?;
                walk_resource(resource, arena, sink).map_err(|error| error.inside(S::MEMBERS.resources))?;
            }
            other => request.other(other, fields(&[1]))?,
        }
    }
    Ok(())
}

fn walk_resource<S: Signal>(reader: Reader<'_>, arena: &mut Arena, sink: &mut impl Sink<S>) -> Result<(), WireError> {
    const RESOURCE: u32 = bytes(1);
    const SCOPES: u32 = bytes(2);
    const SCHEMA_URL: u32 = bytes(3);
    arena.clear();
    {
        let arena = &*arena;
        let (mut resource, mut schema_url) = (None, &[][..]);
        let mut first = reader;
        while let Some(key) = first.key()? {
            match key {
                SCOPES => _ = first.bytes()?,
                RESOURCE => {
                    let into = resource.get_or_insert_with(|| Resource::new(arena));
                    messages::resource(first.message()?, arena, into).map_err(|error| error.inside("resource"))?;
                }
                SCHEMA_URL => schema_url = first.text(arena)?,
                other => first.other(other, fields(&[1, 2, 3]))?,
            }
        }
        sink.resource(resource, schema_url, arena.repairs());
    }
    let mut second = reader;
    while let Some(key) = second.key()? {
        match key {
            SCOPES => {
                let scope = second.message()?;
                walk_scope(scope, arena, sink).map_err(|error| error.inside(S::MEMBERS.scopes))?;
            }
            other => second.skip(other)?,
        }
    }
    Ok(())
}

fn walk_scope<S: Signal>(reader: Reader<'_>, arena: &mut Arena, sink: &mut impl Sink<S>) -> Result<(), WireError> {
    const SCOPE: u32 = bytes(1);
    const ITEMS: u32 = bytes(2);
    const SCHEMA_URL: u32 = bytes(3);
    arena.clear();
    {
        let arena = &*arena;
        let (mut scope, mut schema_url) = (None, &[][..]);
        let mut first = reader;
        while let Some(key) = first.key()? {
            match key {
                ITEMS => _ = first.bytes()?,
                SCOPE => {
                    let into = scope.get_or_insert_with(|| Scope::new(arena));
                    messages::scope(first.message()?, arena, into).map_err(|error| error.inside("scope"))?;
                }
                SCHEMA_URL => schema_url = first.text(arena)?,
                other => first.other(other, fields(&[1, 2, 3]))?,
            }
        }
        sink.scope(scope, schema_url, arena.repairs());
    }
    let mut second = reader;
    while let Some(key) = second.key()? {
        match key {
            ITEMS => {
                arena.clear();
                let arena = &*arena;
                let mut item = S::Item::new(arena);
                S::from_wire(second.message()?, arena, &mut item).map_err(|error| error.inside(S::MEMBERS.items))?;
                sink.item(&mut item, arena.repairs());
            }
            other => second.skip(other)?,
        }
    }
    Ok(())
}
