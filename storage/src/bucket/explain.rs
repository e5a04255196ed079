//! What a refusal of a bucket means to the person who started the collector.

use std::error::Error;
use std::fmt::Write as _;

use super::address::{Address, Kind};

/// One sentence with the cause and the setting that cures it.
pub(crate) fn explain(address: &Address, error: &object_store::Error) -> String {
    let said = chain(error);
    let (bucket, endpoint) = (&address.bucket, address.endpoint());
    let (keys, region) = match address.kind {
        Kind::S3 => ("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN", "AWS_REGION"),
        Kind::Gcs => ("GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT", "the bucket's location"),
        Kind::Azure => ("AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY", "the account"),
    };
    let has = |codes: &[&str]| codes.iter().any(|code| said.contains(code));
    if has(&["NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"]) {
        return format!("{endpoint} has no bucket `{bucket}`: create it, or correct --data");
    }
    if has(&["RequestTimeTooSkewed", "RequestExpired"]) {
        return format!(
            "{endpoint} refuses this machine's clock, it is off by more than 15 minutes (RequestTimeTooSkewed): set it, \
             for example with NTP"
        );
    }
    if has(&["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "AuthenticationFailed"])
        || matches!(error, object_store::Error::Unauthenticated { .. })
    {
        return format!("{endpoint} refuses the credentials ({}): check {keys}", code(&said));
    }
    if has(&["AccessDenied", "AuthorizationPermissionMismatch"])
        || matches!(error, object_store::Error::PermissionDenied { .. })
    {
        return format!(
            "these credentials may not use bucket `{bucket}` at {endpoint} ({}): allow listing, reading, writing and \
             deleting below the prefix `{}`, or give others with {keys}",
            code(&said),
            address.prefix
        );
    }
    if has(&["AuthorizationHeaderMalformed", "PermanentRedirect", "Received redirect without LOCATION"]) {
        return format!("bucket `{bucket}` is in another region: set {region}");
    }
    if has(&["NotImplemented", "not implemented", "501"]) {
        return format!("{endpoint} lacks something that is needed, conditional writes perhaps: {said}");
    }
    if has(&[
        "169.254.169.254",
        "metadata.google.internal",
        "InstanceMetadata",
        "No credentials",
        "Account must be specified",
    ]) {
        return format!("there are no credentials for {endpoint}: set {keys}, or run where the instance has a role");
    }
    if has(&["error sending request", "onnection refused", "dns error", "timed out", "onnect"]) {
        let setting = match address.kind {
            Kind::S3 => "; the endpoint is set with AWS_ENDPOINT_URL",
            Kind::Gcs => "; the endpoint is set with GOOGLE_BASE_URL",
            Kind::Azure => "; the endpoint is set with AZURE_STORAGE_ENDPOINT",
        };
        return format!("cannot reach {endpoint} ({}){setting}", last(error));
    }
    format!("{endpoint}: {said}")
}

/// Everything the error and its causes say, each thing once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            let _ = write!(text, ": {more}");
        }
        cause = error.source();
    }
    text
}

/// The innermost cause.
fn last(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

/// The `<Code>` of an S3 error, or the beginning of what was said.
fn code(said: &str) -> String {
    let inside = said.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    inside.map_or_else(|| said.chars().take(120).collect(), |(code, _)| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn causes_are_named_with_their_setting() {
        let address = Address::parse("s3://telemetry/prod").expect("a good one");
        for (text, told) in [
            ("<Error><Code>NoSuchBucket</Code></Error>", "no bucket `telemetry`"),
            ("<Error><Code>RequestTimeTooSkewed</Code></Error>", "clock"),
            ("<Error><Code>InvalidAccessKeyId</Code></Error>", "(InvalidAccessKeyId): check AWS_ACCESS_KEY_ID"),
            ("<Error><Code>AccessDenied</Code></Error>", "below the prefix `prod`"),
            ("error sending request: tcp connect error: Connection refused (os error 111)", "AWS_ENDPOINT_URL"),
        ] {
            let sentence = explain(&address, &said(text));
            assert!(sentence.contains(told), "{text}: {sentence}");
        }
    }
}
