//! Signed tokens (JWT) of somebody who already knows who people are: read, verified, turned into tenant and scopes (S2).
//!
//! The signer's public keys come from a file or an address (`jwks.rs`). A key verifies one algorithm, whatever the
//! token says: RS256 with 2,048 bits and more, ES256, or EdDSA with Ed25519. So there is no `none`, no HMAC with a public key as its secret.
//!
//! | claim                          | must                                                                        |
//! |--------------------------------|-----------------------------------------------------------------------------|
//! | `exp`                          | be there, and lie ahead                                                     |
//! | `nbf`                          | lie behind, if it is there; clocks may differ by half a minute              |
//! | `iss`                          | be `door.jwt_issuer`                                                        |
//! | `aud`                          | be `door.jwt_audience`, or a list that holds it                             |
//! | `scope`, or `scp`              | hold `ingest`, `read` or `admin`, as words or as a list; `hodoscope:read` is `read` |
//! | `sub`                          | nothing; sign-ins of one person are told by it (`sessions.rs`)              |
//! | what `door.jwt_tenant_claim` names | be a tenant's name; without the setting everybody is `default`          |

use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Scope, TenantId};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::Value as Json;
use tokio::sync::Notify;

use crate::config::Config;
use crate::jwks::{Pauses, Source, keys};
use crate::keys::{Holder, now_unix_s, sha256};

/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Clocks of the signer and of this machine may differ by so much.
const LEEWAY_S: u64 = 30;

/// How a token may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Es256,
    EdDsa,
}

impl Algorithm {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// A key that verifies.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verifier {
    id: Option<String>,
    algorithm: Algorithm,
    /// RSA: modulus and exponent; otherwise the point.
    parts: [Vec<u8>; 2],
    /// What is remembered of it by whoever relies on what it has verified: SHA-256 of algorithm and parts, whatever its id.
    digest: [u8; 32],
}

impl Verifier {
    fn new(id: Option<String>, algorithm: Algorithm, parts: [Vec<u8>; 2]) -> Self {
        let [first, second] = &parts;
        let length = (first.len() as u64).to_be_bytes();
        let digest = sha256([algorithm.as_str().as_bytes(), &length, first, second].concat());
        Self { id, algorithm, parts, digest }
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let [first, second] = &self.parts;
        let outcome = match self.algorithm {
            Algorithm::Rs256 => {
                RsaPublicKeyComponents { n: first, e: second }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            Algorithm::Es256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, first).verify(message, signature),
            Algorithm::EdDsa => UnparsedPublicKey::new(&ED25519, first).verify(message, signature),
        };
        outcome.is_ok()
    }
}

/// What a verified token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) holder: Holder,
    /// From when on it is refused.
    pub(crate) until_unix_s: u64,
    /// Digest of the key that verified it.
    pub(crate) signer: [u8; 32],
    /// Whose it is: SHA-256 of the claim `sub`. Tokens without one are of one person per tenant.
    pub(crate) subject: [u8; 32],
}

/// Whose tokens are taken, and for what.
#[derive(Debug)]
pub(crate) struct Tokens {
    verifiers: ArcSwap<Vec<Verifier>>,
    issuer: String,
    audience: String,
    /// Empty for none.
    tenant_claim: String,
    /// Told when a token names a key that is not here.
    pub(crate) unknown: Arc<Notify>,
}

impl Tokens {
    /// Finds the keys, and again whenever they change, as long as they are needed; `None` when the settings name none.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub(crate) fn watch(config: &Config) -> Result<Option<Arc<Self>>, String> {
        Self::watch_paced(config, Pauses::default())
    }

    pub(crate) fn watch_paced(config: &Config, pauses: Pauses) -> Result<Option<Arc<Self>>, String> {
        if config.jwt_keys.is_empty() {
            return Ok(None);
        }
        let make = |verifiers| Self {
            verifiers: ArcSwap::from_pointee(verifiers),
            issuer: config.jwt_issuer.clone(),
            audience: config.jwt_audience.clone(),
            tenant_claim: config.jwt_tenant_claim.clone(),
            unknown: Arc::default(),
        };
        Source::parse(&config.jwt_keys)?.watch(make, pauses).map(Some)
    }

    /// From now on these keys count, and no others. True when they are other ones than before.
    pub(crate) fn put(&self, verifiers: Vec<Verifier>) -> bool {
        let before = self.verifiers.swap(Arc::new(verifiers));
        *before != **self.verifiers.load()
    }

    /// What the token says, when it is one.
    pub(crate) fn recognize(&self, token: &str) -> Option<Verified> {
        self.verified(token, now_unix_s())
    }

    /// True while the key with this digest counts.
    pub(crate) fn trusts(&self, signer: &[u8; 32]) -> bool {
        self.verifiers.load().iter().any(|verifier| verifier.digest == *signer)
    }

    /// As the settings make them, with keys that do not change; for fuzzing.
    ///
    /// # Errors
    /// Why the keys cannot be used.
    pub(crate) fn of(jwk_set: &[u8], issuer: &str, audience: &str, tenant_claim: &str) -> Result<Self, String> {
        Ok(Self {
            verifiers: ArcSwap::from_pointee(keys(jwk_set)?),
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            tenant_claim: tenant_claim.to_owned(),
            unknown: Arc::default(),
        })
    }

    pub(crate) fn verified(&self, token: &str, now_unix_s: u64) -> Option<Verified> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let head = json(head)?;
        // What `crit` names must be understood, and nothing is.
        if head.get("crit").is_some() {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let verifiers = self.verifiers.load();
        let Some(verifier) = fitting(&verifiers, &head) else {
            self.unknown.notify_one();
            return None;
        };
        if !verifier.verifies(signed.as_bytes(), &signature) {
            return None;
        }
        let claims = json(claims)?;
        let (holder, until_unix_s) = self.holder(&claims, now_unix_s)?;
        let subject = match claims.get("sub").and_then(Json::as_str) {
            Some(subject) => sha256(format!("sub {subject}")),
            None => sha256(format!("tenant {}", holder.tenant)),
        };
        Some(Verified { holder, until_unix_s, signer: verifier.digest, subject })
    }

    /// What verified claims allow, and until when.
    fn holder(&self, claims: &Json, now_unix_s: u64) -> Option<(Holder, u64)> {
        let moment = |name: &str| claims.get(name).and_then(Json::as_f64);
        let now = now_unix_s as f64;
        let end = moment("exp")? + LEEWAY_S as f64;
        let is_over = end <= now;
        let is_early = match claims.get("nbf") {
            None => false,
            Some(_) => moment("nbf")? > now + LEEWAY_S as f64,
        };
        if is_over || is_early || claims.get("iss")?.as_str()? != self.issuer {
            return None;
        }
        if !words(claims.get("aud")?, false).any(|audience| audience == self.audience) {
            return None;
        }
        let tenant = match self.tenant_claim.as_str() {
            "" => TenantId::default_tenant(),
            claim => TenantId::new(claims.get(claim)?.as_str()?)?,
        };
        let scope = |word: &str| Scope::from_word(word.strip_prefix("hodoscope:").unwrap_or(word));
        let said = claims.get("scope").or_else(|| claims.get("scp"))?;
        let scopes: Vec<Scope> = words(said, true).filter_map(scope).filter(|scope| *scope != Scope::Open).collect();
        (!scopes.is_empty()).then(|| (Holder::new(tenant, scopes), end as u64))
    }
}

/// The key that a token's head means: the one with its id, or the only one of its algorithm.
fn fitting<'v>(verifiers: &'v [Verifier], head: &Json) -> Option<&'v Verifier> {
    let algorithm = head.get("alg")?.as_str()?;
    let mut of_algorithm = verifiers.iter().filter(|verifier| verifier.algorithm.as_str() == algorithm);
    match head.get("kid") {
        Some(id) => of_algorithm.find(|verifier| verifier.id.as_deref() == id.as_str() && verifier.id.is_some()),
        None => of_algorithm.next().filter(|_| of_algorithm.next().is_none()),
    }
}

/// A part of a token.
fn json(part: &str) -> Option<Json> {
    let value: Json = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    value.is_object().then_some(value)
}

/// A text, by its words if they are `split`, or the texts of a list.
fn words(value: &Json, split: bool) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        Json::String(text) if split => Box::new(text.split(' ')),
        Json::String(text) => Box::new(std::iter::once(text.as_str())),
        Json::Array(list) => Box::new(list.iter().filter_map(Json::as_str)),
        _ => Box::new(std::iter::empty()),
    }
}

/// A key of a JWK Set, when it can verify.
pub(crate) fn verifier(key: &Json) -> Option<Verifier> {
    let text = |name: &str| key.get(name).and_then(Json::as_str);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
    if text("use").is_some_and(|what| what != "sig") {
        return None;
    }
    let (algorithm, parts) = match (text("kty")?, text("crv")) {
        ("RSA", _) => (Algorithm::Rs256, [bytes("n")?, bytes("e")?]),
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != 32 || y.len() != 32 {
                return None;
            }
            (Algorithm::Es256, [[&[4][..], &x, &y].concat(), Vec::new()])
        }
        ("OKP", Some("Ed25519")) => (Algorithm::EdDsa, [bytes("x").filter(|x| x.len() == 32)?, Vec::new()]),
        _ => return None,
    };
    let is_meant = text("alg").is_none_or(|said| said == algorithm.as_str());
    let is_long = algorithm != Algorithm::Rs256 || parts[0].len() >= 256;
    (is_meant && is_long).then(|| Verifier::new(text("kid").map(str::to_owned), algorithm, parts))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::jwks::read;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
    use serde_json::json;

    const NOW: u64 = 1_800_000_000;

    /// Signs as the issuer does.
    pub(crate) struct Signer {
        name: &'static str,
        ed: Ed25519KeyPair,
        ec: EcdsaKeyPair,
        random: SystemRandom,
    }

    fn base64(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    impl Signer {
        pub(crate) fn new() -> Self {
            Self::named("ed")
        }

        /// With this id of its Ed25519 key.
        pub(crate) fn named(name: &'static str) -> Self {
            let random = SystemRandom::new();
            let ed = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
            let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
            Self {
                name,
                ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).expect("a key"),
                ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random).expect("a key"),
                random,
            }
        }

        pub(crate) fn set(&self) -> Json {
            let point = self.ec.public_key().as_ref();
            json!({ "keys": [
                { "kty": "OKP", "crv": "Ed25519", "kid": self.name, "use": "sig", "x": base64(self.ed.public_key()) },
                { "kty": "EC", "crv": "P-256", "kid": "ec", "alg": "ES256", "x": base64(&point[1..33]), "y": base64(&point[33..]) },
                { "kty": "oct", "kid": "secret", "k": base64(b"never a secret of ours") },
                { "kty": "RSA", "kid": "short", "n": base64([0xff; 128]), "e": "AQAB" },
            ] })
        }

        /// A token for an hour from now, by the key with its id.
        pub(crate) fn lasting_token(&self) -> String {
            self.token_of(self.name, &lasting("read"))
        }

        pub(crate) fn token_of(&self, key: &str, claims: &Json) -> String {
            self.token(&json!({"alg": "EdDSA", "kid": key}), claims)
        }

        fn token(&self, head: &Json, claims: &Json) -> String {
            let signed = format!("{}.{}", base64(head.to_string()), base64(claims.to_string()));
            let signature = match head["alg"].as_str() {
                Some("ES256") => self.ec.sign(&self.random, signed.as_bytes()).expect("signed").as_ref().to_vec(),
                Some("none") => Vec::new(),
                // The classic confusion: a MAC whose secret is the public key.
                Some("HS256") => {
                    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.ed.public_key().as_ref());
                    ring::hmac::sign(&key, signed.as_bytes()).as_ref().to_vec()
                }
                _ => self.ed.sign(signed.as_bytes()).as_ref().to_vec(),
            };
            format!("{signed}.{}", base64(signature))
        }
    }

    fn tokens(signer: &Signer) -> Tokens {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("jwks.json");
        std::fs::write(&path, signer.set().to_string()).expect("written");
        Tokens {
            verifiers: ArcSwap::from_pointee(read(&path).expect("keys")),
            issuer: "https://login.example".to_owned(),
            audience: "hodoscope".to_owned(),
            tenant_claim: "team".to_owned(),
            unknown: Arc::default(),
        }
    }

    /// Claims that hold for an hour from now.
    pub(crate) fn lasting(scope: &str) -> Json {
        claims(&json!({ "exp": now_unix_s() + 3_600, "nbf": 0, "scope": scope }))
    }

    fn claims(edit: &Json) -> Json {
        let mut claims = json!({
            "iss": "https://login.example", "aud": "hodoscope", "exp": NOW + 60, "nbf": NOW - 60, "scope": "openid read", "team": "shop",
        });
        for (name, value) in edit.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        claims
    }

    /// S2: EdDSA and ES256, by the id of the key or as the only key of the algorithm.
    #[test]
    fn s2_tokens_of_the_issuer_are_recognized() {
        let signer = Signer::new();
        let tokens = tokens(&signer);
        assert_eq!(tokens.verifiers.load().len(), 2, "no secret, no short RSA key");
        for head in [
            json!({"alg": "EdDSA", "kid": "ed"}),
            json!({"alg": "EdDSA"}),
            json!({"alg": "ES256", "kid": "ec", "typ": "JWT"}),
        ] {
            let verified = tokens.verified(&signer.token(&head, &claims(&json!({}))), NOW).expect("known");
            let (holder, until) = (verified.holder, verified.until_unix_s);
            assert_eq!(until, NOW + 60 + LEEWAY_S);
            assert_eq!(holder.tenant.as_str(), "shop");
            let may = [Scope::Ingest, Scope::Read, Scope::Admin].map(|scope| holder.may(scope));
            assert_eq!(may, [false, true, false], "{head}");
        }
        let head = json!({"alg": "EdDSA"});
        for (edit, scope) in [
            (json!({ "scope": ["ingest"] }), Scope::Ingest),
            (json!({ "scope": "hodoscope:admin" }), Scope::Admin),
            (json!({ "aud": ["other", "hodoscope"] }), Scope::Read),
            (json!({ "exp": NOW - 10 }), Scope::Read),
            (json!({ "nbf": NOW + 10 }), Scope::Read),
        ] {
            let verified = tokens.verified(&signer.token(&head, &claims(&edit)), NOW);
            assert!(verified.is_some_and(|verified| verified.holder.may(scope)), "{edit}");
        }
    }

    /// Tokens of one person are known as such, whatever else they say; without `sub` all of a tenant are one.
    #[test]
    fn s2_tokens_say_whose_they_are() {
        let signer = Signer::new();
        let tokens = tokens(&signer);
        let subject = |edit: Json| {
            let token = signer.token(&json!({"alg": "EdDSA"}), &claims(&edit));
            tokens.verified(&token, NOW).expect("known").subject
        };
        let ann = subject(json!({ "sub": "ann" }));
        assert_eq!(ann, subject(json!({ "sub": "ann", "exp": NOW + 90, "scope": "admin" })));
        let nobody = subject(json!({}));
        assert_eq!(nobody, subject(json!({ "exp": NOW + 90 })));
        for other in [subject(json!({ "sub": "bob" })), nobody, subject(json!({ "team": "red" }))] {
            assert_ne!(ann, other);
        }
        assert_ne!(nobody, subject(json!({ "team": "red" })));
        assert_ne!(nobody, subject(json!({ "sub": "shop" })));
    }

    /// S2: another algorithm than the key's, another signer, another issuer or audience, too early, too late, no scope, odd tenants.
    #[test]
    fn s2_other_tokens_are_refused() {
        let (signer, other) = (Signer::new(), Signer::new());
        let tokens = tokens(&signer);
        let good = signer.token(&json!({"alg": "EdDSA"}), &claims(&json!({})));
        assert!(tokens.verified(&good, NOW).is_some());
        for head in [
            json!({"alg": "none"}),
            json!({"alg": "HS256", "kid": "ed"}),
            json!({"alg": "HS256", "kid": "secret"}),
            json!({"alg": "ES256", "kid": "ed"}),
            json!({"alg": "EdDSA", "kid": "unknown"}),
            json!({"alg": "EdDSA", "kid": null}),
            json!({"alg": "eddsa", "kid": "ed"}),
            json!({"alg": "EdDSA", "kid": "ed", "crit": ["exp"]}),
            json!({"kid": "ed"}),
        ] {
            assert!(tokens.verified(&signer.token(&head, &claims(&json!({}))), NOW).is_none(), "{head}");
        }
        for edit in [
            json!({ "iss": "https://login.example.evil" }),
            json!({ "iss": null }),
            json!({ "aud": "other" }),
            json!({ "aud": "hodoscope other" }),
            json!({ "aud": [] }),
            json!({ "exp": NOW - 31 }),
            json!({ "exp": null }),
            json!({ "exp": "2999-01-01" }),
            json!({ "nbf": NOW + 31 }),
            json!({ "nbf": "soon" }),
            json!({ "scope": "" }),
            json!({ "scope": "openid open" }),
            json!({ "team": "../red" }),
            json!({ "team": 7 }),
        ] {
            let token = signer.token(&json!({"alg": "EdDSA"}), &claims(&edit));
            assert!(tokens.verified(&token, NOW).is_none(), "{edit}");
        }
        let foreign = other.token(&json!({"alg": "EdDSA", "kid": "ed"}), &claims(&json!({})));
        let (signed, _) = good.rsplit_once('.').expect("parts");
        let (_, signature) = foreign.rsplit_once('.').expect("parts");
        let longer = format!("{good}{}", "A".repeat(TOKEN_BYTES_MAX));
        for token in [
            &foreign[..],
            signed,
            &format!("{signed}."),
            &format!("{signed}.{signature}"),
            "",
            ".",
            "..",
            "a.b.c",
            &longer,
        ] {
            assert!(tokens.verified(token, NOW).is_none(), "{token}");
        }
    }

    /// S1, S2, S5: tokens alone guard a door beyond loopback; the tenant is the token's; keys go on beside them; new keys of the signer
    /// count without a restart.
    #[tokio::test]
    async fn s2_tokens_open_the_door() {
        use crate::{Access, Listener, Needs};
        let (folder, signer, next) = (tempfile::tempdir().expect("a folder"), Signer::new(), Signer::new());
        let path = folder.path().join("jwks.json");
        std::fs::write(&path, signer.set().to_string()).expect("written");
        let config = Config {
            http: "0.0.0.0:0".parse().expect("an address"),
            jwt_keys: path.display().to_string(),
            jwt_issuer: "https://login.example".to_owned(),
            jwt_audience: "hodoscope".to_owned(),
            jwt_tenant_claim: "team".to_owned(),
            failed_attempts_per_minute: 0,
            ..Config::default()
        };
        assert_eq!(config.validate(), Ok(()));
        assert!(Config { jwt_issuer: String::new(), ..config.clone() }.validate().is_err(), "whose tokens?");
        let who = axum::routing::get(|axum::Extension(who): axum::Extension<model::Identity>| async move {
            format!("{} {}", who.tenant, who.is_admin)
        });
        let routes = axum::Router::new().route("/who", who);
        let access = Access::load(&config).expect("keys");
        let door =
            crate::open(&config, Listener::Http, routes, &access, Needs::All(Scope::Read)).await.expect("a port");
        let url = format!("http://127.0.0.1:{}/who", door.local_addr().port());
        let ask = async |token: &str| {
            let answer = reqwest::Client::new().get(&url).bearer_auth(token).send().await.expect("an answer");
            (answer.status().as_u16(), answer.text().await.expect("a body"))
        };
        let head = json!({"alg": "EdDSA", "kid": "ed"});
        assert_eq!(ask(&signer.token(&head, &lasting("read"))).await, (200, "shop false".to_owned()));
        assert_eq!(ask(&signer.token(&head, &lasting("admin"))).await, (200, "shop true".to_owned()));
        assert_eq!(ask(&signer.token(&head, &lasting("ingest"))).await.0, 403);
        assert_eq!(ask(&next.token(&head, &lasting("read"))).await.0, 401);
        std::fs::write(&path, next.set().to_string()).expect("written");
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
        while ask(&next.token(&head, &lasting("read"))).await.0 != 200 {
            assert!(tokio::time::Instant::now() < until, "the new keys never counted");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(ask(&signer.token(&head, &lasting("read"))).await.0, 401, "the old ones do no more");
        door.close().await;
    }

    /// RS256 against the vector of RFC 7515, A.2.
    #[test]
    fn s2_rs256_verifies_the_published_vector() {
        let key = json!({ "kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" });
        let verifier = verifier(&key).expect("a key");
        let signed = b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = URL_SAFE_NO_PAD.decode("cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw").expect("base64");
        assert!(verifier.verifies(signed, &signature));
        assert!(!verifier.verifies(&signed[1..], &signature));
    }
}
