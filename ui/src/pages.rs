//! One file a page.

pub(crate) mod alerts;
pub(crate) mod compare;
pub(crate) mod explore;
pub(crate) mod home;
pub(crate) mod journey;
pub(crate) mod map;
pub(crate) mod metrics;
pub(crate) mod not_found;
pub(crate) mod service;
pub(crate) mod services;
pub(crate) mod short;
pub(crate) mod sql;
pub(crate) mod system;
pub(crate) mod trace;
