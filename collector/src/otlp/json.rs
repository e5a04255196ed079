//! OTLP/JSON, read straight from the text into the same sink as protobuf: no document in between.
//!
//! | file          | knows                                                                          |
//! |---------------|--------------------------------------------------------------------------------|
//! | `reader.rs`   | JSON itself: one value after the other, with the path to where we are           |
//! | `scalars.rs`  | the forms in which OTLP writes numbers, ids, bytes and enums                    |
//! | `messages.rs` | the members of each message, one line per member                               |
//! | this file     | the envelopes: request, resource, scope                                        |
//!
//! Written by hand on purpose: derived decoders of the generated types drop or refuse what real senders
//! write (J16). Unknown members are skipped, `null` is "absent", the last of two equal members wins.
//!
//! Members may come in any order, and what all rows of a resource share may come last. So a list of scopes or
//! items is jumped over first (counting brackets, about a nanosecond a byte) and read when the rest of its
//! object is known.

pub(crate) mod messages;
mod reader;
mod scalars;

use model::Repairs;

use super::message::{Arena, Signal, Sink};
use crate::outcome::Outcome;

pub(crate) use reader::{JsonError, Reader};

/// Reads a request into a sink; odd forms are counted in `outcome`.
///
/// # Errors
/// The body is no JSON, or a member is not what its message says. What the sink has taken by then is of no use.
pub(crate) fn read<S: Signal>(
    body: &[u8],
    outcome: &mut Outcome,
    arena: &mut Arena,
    sink: &mut impl Sink<S>,
) -> Result<(), JsonError> {
    let mut reader = Reader::new(body, outcome)?;
    match request(&mut reader, arena, sink) {
        Ok(()) => Ok(()),
        // What was jumped over may be no JSON; then the error is where it begins to be none.
        Err(error) => Err(Reader::new(body, outcome)?.check().err().unwrap_or(error)),
    }
}

fn request<S: Signal>(reader: &mut Reader<'_>, arena: &mut Arena, sink: &mut impl Sink<S>) -> Result<(), JsonError> {
    let mut resources = None;
    reader.object(
        |reader, member| {
            if member == S::MEMBERS.resources { reader.jump(&mut resources) } else { reader.unknown() }
        },
    )?;
    reader.end()?;
    reader.revisit(resources, S::MEMBERS.resources, |reader| resource(reader, arena, sink))
}

fn resource<S: Signal>(reader: &mut Reader<'_>, arena: &mut Arena, sink: &mut impl Sink<S>) -> Result<(), JsonError> {
    let mut scopes = None;
    arena.clear();
    {
        let arena = &*arena;
        let (mut resource, mut schema_url) = (None, &[][..]);
        reader.object(|reader, member| {
            match member {
                "resource" => resource = messages::optional(reader, arena, messages::resource)?,
                "schemaUrl" => schema_url = reader.text(arena)?,
                _ if member == S::MEMBERS.scopes => return reader.jump(&mut scopes),
                _ => return reader.unknown(),
            }
            Ok(true)
        })?;
        sink.resource(resource, schema_url, Repairs::NONE);
    }
    reader.revisit(scopes, S::MEMBERS.scopes, |reader| scope(reader, arena, sink))
}

fn scope<S: Signal>(reader: &mut Reader<'_>, arena: &mut Arena, sink: &mut impl Sink<S>) -> Result<(), JsonError> {
    let mut items = None;
    arena.clear();
    {
        let arena = &*arena;
        let (mut scope, mut schema_url) = (None, &[][..]);
        reader.object(|reader, member| {
            match member {
                "scope" => scope = messages::optional(reader, arena, messages::scope)?,
                "schemaUrl" => schema_url = reader.text(arena)?,
                _ if member == S::MEMBERS.items => return reader.jump(&mut items),
                _ => return reader.unknown(),
            }
            Ok(true)
        })?;
        sink.scope(scope, schema_url, Repairs::NONE);
    }
    reader.revisit(items, S::MEMBERS.items, |reader| {
        arena.clear();
        let mut item = S::from_json(reader, arena)?;
        sink.item(&mut item, Repairs::NONE);
        Ok(())
    })
}
