//! Where a bucket is, and how to speak to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::SpawnedReqwestConnector;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use tokio::runtime::Handle;

/// Kinds of stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `s3://`: Amazon S3 and everything that speaks like it.
    S3,
    /// `gs://`: Google Cloud Storage.
    Gcs,
    /// `az://`: Azure Blob Storage.
    Azure,
}

/// A prefix of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub kind: Kind,
    pub bucket: String,
    /// Empty for the whole bucket.
    pub prefix: Path,
}

/// How long requests may take, and how often they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// A person waits for the start: a few attempts.
    Opening,
    /// Segments and table logs: up to half a minute; the flusher tries again after that.
    Data,
    /// WAL objects: once; `wal/objects.rs` decides what comes next.
    Wal,
}

impl Address {
    /// Reads `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("it is no URL")?;
        let kind = match scheme {
            "s3" => Kind::S3,
            "gs" => Kind::Gcs,
            "az" => Kind::Azure,
            _ => {
                return Err(format!("{scheme}:// is no store of data; give a path, s3://, gs:// or az:// with --data"));
            }
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || bucket.contains(['@', '?', '#', ':']) {
            return Err(format!("`{bucket}` is no name of a bucket; write {scheme}://BUCKET/PREFIX with --data"));
        }
        let prefix = Path::parse(prefix.trim_end_matches('/'))
            .map_err(|error| format!("`{prefix}` cannot be a prefix ({error}); write {scheme}://BUCKET/PREFIX"))?;
        Ok(Self { kind, bucket: bucket.to_owned(), prefix })
    }

    /// A client of the bucket. Credentials, region and endpoint come from the store's usual environment variables,
    /// then from the instance's metadata. Plain HTTP is spoken to an endpoint that was given as `http://` only.
    ///
    /// # Errors
    /// What the client refuses to be made with.
    pub(crate) fn build(&self, patience: Patience, runtime: &Handle) -> object_store::Result<Arc<dyn ObjectStore>> {
        let connector = SpawnedReqwestConnector::new(runtime.clone());
        let (retry, options) = (patience.retry(), patience.client(self.is_plain_http()));
        Ok(match self.kind {
            Kind::S3 => Arc::new(
                AmazonS3Builder::from_env()
                    .with_bucket_name(&self.bucket)
                    .with_client_options(options)
                    .with_retry(retry)
                    .with_http_connector(connector)
                    .build()?,
            ),
            Kind::Gcs => Arc::new(
                GoogleCloudStorageBuilder::from_env()
                    .with_bucket_name(&self.bucket)
                    .with_client_options(options)
                    .with_retry(retry)
                    .with_http_connector(connector)
                    .build()?,
            ),
            Kind::Azure => Arc::new(
                MicrosoftAzureBuilder::from_env()
                    .with_container_name(&self.bucket)
                    .with_client_options(options)
                    .with_retry(retry)
                    .with_http_connector(connector)
                    .build()?,
            ),
        })
    }

    /// The endpoint that was given, if one was.
    fn given_endpoint(&self) -> Option<String> {
        match self.kind {
            Kind::S3 => {
                let s3 = AmazonS3Builder::from_env();
                let given = s3.get_config_value(&AmazonS3ConfigKey::S3Endpoint);
                given.or_else(|| s3.get_config_value(&AmazonS3ConfigKey::Endpoint))
            }
            Kind::Gcs => GoogleCloudStorageBuilder::from_env().get_config_value(&GoogleConfigKey::BaseUrl),
            Kind::Azure => MicrosoftAzureBuilder::from_env().get_config_value(&AzureConfigKey::Endpoint),
        }
    }

    fn is_plain_http(&self) -> bool {
        self.given_endpoint().is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    /// Who is asked, for people.
    pub(crate) fn endpoint(&self) -> String {
        self.given_endpoint().unwrap_or_else(|| match self.kind {
            Kind::S3 => "Amazon S3".to_owned(),
            Kind::Gcs => "Google Cloud Storage".to_owned(),
            Kind::Azure => "Azure Blob Storage".to_owned(),
        })
    }

    /// The address with a slash at its end.
    pub(crate) fn directory_url(&self) -> String {
        let text = self.to_string();
        if text.ends_with('/') { text } else { format!("{text}/") }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            Kind::S3 => "s3",
            Kind::Gcs => "gs",
            Kind::Azure => "az",
        };
        write!(f, "{scheme}://{}/{}", self.bucket, self.prefix)
    }
}

impl Patience {
    fn retry(self) -> RetryConfig {
        let (max_retries, timeout_s) = match self {
            Self::Opening => (4, 8),
            Self::Data => (12, 30),
            Self::Wal => (0, 2),
        };
        RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_secs(2),
                base: 2.0,
            },
            max_retries,
            retry_timeout: Duration::from_secs(timeout_s),
        }
    }

    fn client(self, is_plain_http: bool) -> ClientOptions {
        let (timeout_s, connect_s) = match self {
            Self::Opening => (6, 2),
            Self::Data => (30, 3),
            Self::Wal => (5, 1),
        };
        ClientOptions::new()
            .with_timeout(Duration::from_secs(timeout_s))
            .with_connect_timeout(Duration::from_secs(connect_s))
            .with_allow_http(is_plain_http)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let address = Address::parse("s3://telemetry/prod/eu/").expect("a good one");
        assert_eq!(
            (address.kind, address.bucket.as_str(), address.prefix.as_ref()),
            (Kind::S3, "telemetry", "prod/eu")
        );
        assert_eq!(address.to_string(), "s3://telemetry/prod/eu");
        assert_eq!(address.directory_url(), "s3://telemetry/prod/eu/");
        let whole = Address::parse("gs://telemetry").expect("a good one");
        assert_eq!((whole.prefix.as_ref(), whole.directory_url().as_str()), ("", "gs://telemetry/"));
        assert_eq!(Address::parse("az://c/p").expect("a good one").kind, Kind::Azure);
        for (text, told) in [
            ("ftp://host/x", "ftp:// is no store of data"),
            ("s3:///prefix", "is no name of a bucket"),
            ("s3://key:secret@bucket/x", "is no name of a bucket"),
            ("s3://bucket/a//b", "cannot be a prefix"),
        ] {
            let error = Address::parse(text).expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
