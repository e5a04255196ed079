//! TLS on every port: handshakes, certificates that are renewed under way, senders that must show one of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Endpoint;

use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Server, Transport, fixtures, generate, wait_for};

const PATIENCE: Duration = Duration::from_secs(120);

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

fn certificates(name: &str) -> Vec<CertificateDer<'static>> {
    let found = CertificateDer::pem_file_iter(fixture(name)).expect("a file");
    found.collect::<Result<_, _>>().expect("certificates")
}

/// What a peer brings along: what it speaks inside, which versions, and perhaps a certificate of its own.
fn peer(protocol: &str, versions: &[&'static SupportedProtocolVersion], own: Option<&str>) -> Arc<ClientConfig> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    roots.add(certificates("ca.pem").remove(0)).expect("a root");
    let config = ClientConfig::builder_with_protocol_versions(versions).with_root_certificates(roots);
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some(name) => {
            let key = PrivateKeyDer::from_pem_file(fixture(&format!("{name}.key"))).expect("a key");
            config.with_client_auth_cert(certificates(&format!("{name}.pem")), key).expect("a pair")
        }
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Arc::new(config)
}

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

async fn shake(address: &str, peer: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(peer).connect(ServerName::try_from("localhost").expect("a name"), stream).await
}

/// One request over HTTP/1.1; the head and body of the answer, or why there is none.
async fn ask(address: &str, peer: Arc<ClientConfig>, request: &str) -> std::io::Result<String> {
    let mut stream = shake(address, peer).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    // A server that ends without a farewell has still answered.
    match stream.read_to_string(&mut answer).await {
        Err(error) if answer.is_empty() => Err(error),
        _ if answer.is_empty() => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer),
    }
}

const LIVES: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
const SENDS: &str = "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\
                     connection: close\r\n\r\n{}";

/// A collector with the certificate `name`, copied to a folder where a test can renew it.
fn collector(folder: &Path, name: &str, more: &str) -> Collector {
    put(folder, name);
    let path = |name: &str| folder.join(name).display().to_string();
    let config = format!("[door]\ntls_cert = {:?}\ntls_key = {:?}\n{more}", path("tls.pem"), path("tls.key"));
    Collector { config, ..Collector::default() }
}

fn put(folder: &Path, name: &str) {
    for ending in ["key", "pem"] {
        let new = folder.join(format!("new.{ending}"));
        std::fs::copy(fixture(&format!("{name}.{ending}")), &new).expect("copied");
        std::fs::rename(new, folder.join(format!("tls.{ending}"))).expect("in its place");
    }
}

/// Sends one span over gRPC inside TLS.
async fn send_grpc(server: &Server, peer: Arc<ClientConfig>) -> Result<(), String> {
    let address = server.otlp_grpc.clone();
    let connect = tower::service_fn(move |_: tonic::transport::Uri| {
        let (address, peer) = (address.clone(), Arc::clone(&peer));
        async move { shake(&address, peer).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://localhost").timeout(Duration::from_secs(20));
    let channel = endpoint.connect_with_connector(connect).await.map_err(|error| format!("{error:?}"))?;
    let span = generate::span(u128::from(fixtures::now_nanos()), 1, "over TLS");
    let request = Request::Traces(generate::request("shop", vec![span]));
    match Client::over(server, channel).send(Transport::Grpc, &request).await {
        Ok(_) => Ok(()),
        Err(refused) => Err(refused.message),
    }
}

/// S3: TLS 1.2 and 1.3 on every port, gRPC and both versions of HTTP inside; whoever speaks plainly is told.
#[tokio::test]
async fn s3_every_port_speaks_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = collector(folder.path(), "server", "").start();
    for (versions, expected) in
        [(&[&version::TLS12][..], ProtocolVersion::TLSv1_2), (&[&version::TLS13][..], ProtocolVersion::TLSv1_3)]
    {
        for address in [&server.otlp_grpc, &server.otlp_http, &server.http] {
            let stream = shake(address, peer("h2", versions, None)).await.expect("a handshake");
            let (_, session) = stream.get_ref();
            assert_eq!((session.protocol_version(), session.alpn_protocol()), (Some(expected), Some(&b"h2"[..])));
        }
        let lives = ask(&server.http, peer("http/1.1", versions, None), LIVES).await.expect("an answer");
        assert!(lives.starts_with("HTTP/1.1 200"), "{lives}");
        let taken = ask(&server.otlp_http, peer("http/1.1", versions, None), SENDS).await.expect("an answer");
        assert!(taken.starts_with("HTTP/1.1 200"), "{taken}");
        send_grpc(&server, peer("h2", versions, None)).await.expect("taken");
    }
    for address in [&server.otlp_http, &server.http] {
        let mut plain = TcpStream::connect(address).await.expect("connected");
        plain.write_all(LIVES.as_bytes()).await.expect("written");
        let mut answer = String::new();
        plain.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("https://"), "{answer}");
    }
}

/// S3: a certificate that is renewed is shown to the next connection, without a restart; a broken one changes nothing.
#[tokio::test]
async fn s3_certificates_are_renewed_under_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = collector(folder.path(), "server", "").start();
    let shown = || async {
        let stream = shake(&server.http, peer("http/1.1", BOTH, None)).await.expect("a handshake");
        let (_, session) = stream.get_ref();
        session.peer_certificates().expect("a certificate")[0].clone()
    };
    assert_eq!(shown().await, certificates("server.pem")[0]);
    let mut before = shake(&server.http, peer("http/1.1", BOTH, None)).await.expect("a handshake");
    put(folder.path(), "renewed");
    wait_for("the new certificate", PATIENCE, || async {
        (shown().await == certificates("renewed.pem")[0]).then_some(())
    })
    .await;
    before.write_all(LIVES.as_bytes()).await.expect("the old connection goes on");
    let mut answer = [0; 12];
    before.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    std::fs::write(folder.path().join("tls.pem"), "not a certificate").expect("written");
    wait_for("the broken file to be seen", PATIENCE, || async {
        server.stderr().contains("those before stay in force").then_some(())
    })
    .await;
    assert_eq!(shown().await, certificates("renewed.pem")[0]);
}

/// S3: senders must show a certificate of the right authority; the page and the API ask for none.
#[tokio::test]
async fn s3_senders_show_a_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let more = format!("tls_client_ca = {:?}\n", fixture("ca.pem").display().to_string());
    let server = collector(folder.path(), "server", &more).start();
    for own in [None, Some("stranger")] {
        let http = ask(&server.otlp_http, peer("http/1.1", BOTH, own), SENDS).await;
        assert!(http.is_err(), "{own:?}: {http:?}");
        let grpc = send_grpc(&server, peer("h2", BOTH, own)).await;
        assert!(grpc.is_err(), "{own:?}");
    }
    let taken = ask(&server.otlp_http, peer("http/1.1", BOTH, Some("client")), SENDS).await.expect("an answer");
    assert!(taken.starts_with("HTTP/1.1 200"), "{taken}");
    send_grpc(&server, peer("h2", BOTH, Some("client"))).await.expect("taken");
    let lives = ask(&server.http, peer("http/1.1", BOTH, None), LIVES).await.expect("an answer");
    assert!(lives.starts_with("HTTP/1.1 200"), "{lives}");
}

/// What cannot work is told at the start, with the file.
#[test]
fn certificates_that_cannot_work_end_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let ends = |how: Collector, told: &str| {
        let ended = how.run_to_end(folder.path(), PATIENCE);
        assert!(!ended.status.success() && ended.stderr.contains(told), "{told}: {}", ended.stderr);
    };
    ends(collector(folder.path(), "server", "tls_client_ca = '/nowhere/ca.pem'\n"), "/nowhere/ca.pem");
    let mixed = collector(folder.path(), "server", "");
    std::fs::copy(fixture("renewed.key"), folder.path().join("tls.key")).expect("copied");
    ends(mixed, "do not work together");
    let config = "[door]\ntls_cert = 'only.pem'\n".to_owned();
    ends(Collector { config, ..Collector::default() }, "door.tls_key");
}

/// S11: inside TLS the cookie of a session is for TLS and this host only.
#[tokio::test]
async fn s11_cookies_are_secure() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys_file = folder.path().join("keys.json");
    let tenant = model::TenantId::default_tenant();
    let new = door::NewKey { name: "test".to_owned(), tenant, scopes: vec![model::Scope::Read], valid_for: None };
    let (_, key) = door::create_key(&keys_file, &new).expect("made");
    let server =
        collector(folder.path(), "server", &format!("keys_file = {:?}\n", keys_file.display().to_string())).start();
    let body = format!("{{\"key\": \"{key}\"}}");
    let request = format!(
        "POST /api/session HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         sec-fetch-site: same-origin\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(&server.http, peer("http/1.1", BOTH, None), &request).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let told = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(told.starts_with("__Host-hodoscope_session=") && told.ends_with("; Secure"), "{told}");
    let cookie = told.split(';').next().expect("a cookie");
    let session =
        format!("GET /api/session HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n");
    let answer = ask(&server.http, peer("http/1.1", BOTH, None), &session).await.expect("an answer");
    assert!(answer.contains("\"signed_in\":true"), "{answer}");
}
