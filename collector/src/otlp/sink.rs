//! The one sink behind every decoder and signal: keeps the origin at hand, counts what became of each item, and ends a
//! batch when it is full.

use model::Repairs;
use storage::Batch;

use super::Request;
use super::keys::Keys;
use super::message::{Resource, Scope, Signal, Sink, Text};
use super::origin::Origin;
use super::series::OriginParts;
use crate::error::Result;
use crate::outcome::Reason;
use crate::sanitize::Rules;

/// Where an item comes from.
#[derive(Debug, Default)]
pub(super) struct From {
    pub(super) origin: Origin,
    /// What it adds to the number of a series.
    pub(super) parts: OriginParts,
}

/// Rows of a signal under construction; used again for the next batch.
pub(super) trait Rows<S: Signal> {
    /// Items belong to series, which are named by what they come from too.
    const HAS_SERIES: bool = false;

    /// Sanitizes an item and writes it into columns; `count` hears what became of it, or of each of its points.
    fn take(
        &mut self,
        item: &mut S::Item<'_>,
        repairs: Repairs,
        from: &From,
        keys: &mut Keys,
        rules: &Rules,
        count: impl FnMut(Result<Repairs, Reason>),
    );

    /// Rows that have no origin yet come from this one.
    fn fill_origin(&mut self, origin: &Origin);

    /// A batch should end here.
    fn is_full(&self) -> bool;

    /// Hands the rows over, as a batch for each table that has some.
    fn finish(&mut self, request: &mut Request<'_>);
}

/// Takes the items of one request.
#[derive(Debug)]
pub(super) struct RowSink<'r, R> {
    request: Request<'r>,
    from: From,
    rows: &'r mut R,
    keys: &'r mut Keys,
}

impl<'r, R> RowSink<'r, R> {
    /// A sink for one request; `rows` is empty.
    pub(super) fn new(request: Request<'r>, rows: &'r mut R, keys: &'r mut Keys) -> Self {
        Self { request, from: From::default(), rows, keys }
    }

    /// What was taken.
    pub(super) fn finish<S: Signal>(mut self) -> Result<Vec<Batch>>
    where
        R: Rows<S>,
    {
        self.end_batch();
        self.request.finish()
    }

    fn end_batch<S: Signal>(&mut self)
    where
        R: Rows<S>,
    {
        self.rows.fill_origin(&self.from.origin);
        self.rows.finish(&mut self.request);
        // No row names a key by its number any more: of a request with millions of keys no more are remembered than a batch has.
        self.keys.trim();
    }
}

impl<S: Signal, R: Rows<S>> Sink<S> for RowSink<'_, R> {
    fn resource(&mut self, mut resource: Option<Resource<'_>>, schema_url: Text<'_>, repairs: Repairs) {
        self.rows.fill_origin(&self.from.origin);
        self.from.origin.set_resource(resource.as_mut(), schema_url, repairs, self.keys);
        if R::HAS_SERIES {
            self.from.parts.set_resource(resource.as_ref());
        }
    }

    fn scope(&mut self, mut scope: Option<Scope<'_>>, schema_url: Text<'_>, repairs: Repairs) {
        self.rows.fill_origin(&self.from.origin);
        self.from.origin.set_scope(scope.as_mut(), schema_url, repairs, self.keys);
        if R::HAS_SERIES {
            self.from.parts.set_scope(scope.as_ref());
        }
    }

    fn item(&mut self, item: &mut S::Item<'_>, repairs: Repairs) {
        let Self { request, from, rows, keys } = self;
        if request.failed.is_some() {
            return;
        }
        let (rules, outcome) = (request.rules, &mut *request.outcome);
        rows.take(item, repairs, from, keys, rules, |taken| match taken {
            Ok(repairs) => outcome.keep(repairs),
            Err(reason) => outcome.reject(reason),
        });
        if self.rows.is_full() {
            self.end_batch();
        }
    }
}
