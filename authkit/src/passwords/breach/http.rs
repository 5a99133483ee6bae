//! The range look-up over HTTPS, as <https://haveibeenpwned.com/API/v3#PwnedPasswords> and its mirrors speak it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::{Client, Url, redirect};
use rustls::{ClientConfig, RootCertStore};

use super::BreachLookup;
use crate::error::{Error, Result};

/// A range of the real service has about 40 KiB.
const MAX_BODY: usize = 1024 * 1024;

/// Asks a range API over HTTPS.
///
/// Fetches from the configured host only (R13): no redirects, no proxy from the environment; the certificate
/// must lead to one of Mozilla's roots. It brings its own TLS settings on `ring` and neither needs nor touches
/// rustls' process-wide provider.
#[derive(Debug, Clone)]
pub struct HttpRangeLookup {
    base: Url,
    client: Client,
    total: Duration,
}

impl HttpRangeLookup {
    /// A look-up at `base`, to which the prefix is appended as last part of the path, with 1 s to connect and
    /// 2 s in all. For the public service: `https://api.pwnedpasswords.com/range/`.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) unless `base` is an `https://` address without user, query and
    /// fragment; `http://` is for `localhost` and loopback addresses only.
    pub fn new(base: &str) -> Result<Self> {
        Self::with_time_outs(base, Duration::from_secs(1), Duration::from_secs(2))
    }

    /// As [`new`](Self::new), with other times to connect and for the whole look-up.
    pub fn with_time_outs(base: &str, connect: Duration, total: Duration) -> Result<Self> {
        let base = checked(base)?;
        let unusable =
            |e: &dyn std::fmt::Display| Error::config(format!("no HTTPS for PASSWORD_BREACH_URL: {e}"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| unusable(&e))?
            .with_root_certificates(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(connect)
            .timeout(total)
            .user_agent(concat!("authkit/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| unusable(&e))?;
        Ok(Self { base, client, total })
    }

    async fn fetch(&self, prefix: &str) -> Result<String> {
        let url = self.base.join(prefix).map_err(|_| Error::internal("a range's address is not valid"))?;
        // Padding hides from an observer of sizes which range was asked for.
        let request = self.client.get(url).header("Add-Padding", "true");
        let mut response = request.send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            let status = response.status().as_u16();
            return Err(Error::unavailable(format!("the breach look-up answered with status {status}")));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(Error::unavailable("the breach look-up's answer is over 1 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).map_err(|_| Error::unavailable("the breach look-up's answer is no text"))
    }
}

impl BreachLookup for HttpRangeLookup {
    fn range<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<String>> {
        Box::pin(self.fetch(prefix))
    }

    fn time_out(&self) -> Duration {
        self.total
    }
}

/// The address holds the prefix, so it goes into no error (R15).
fn failed(error: reqwest::Error) -> Error {
    Error::unavailable("the breach look-up does not answer").with_source(error.without_url())
}

/// The base address with a slash at its end.
fn checked(base: &str) -> Result<Url> {
    let refuse = |why: &str| Error::config(format!("PASSWORD_BREACH_URL {why}"));
    let mut url = Url::parse(base).map_err(|_| refuse("is not an address"))?;
    let host = url.host_str().ok_or_else(|| refuse("has no host"))?;
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|ip| ip.is_loopback());
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        return Err(refuse("must begin with https:// (http:// is for loopback addresses only)"));
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(refuse("must not hold a user, a query or a fragment"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;

    use super::super::{BreachCheck, check};
    use super::*;
    use crate::error::ErrorKind;

    /// Rest of SHA-1 of "password" after 5BAA6.
    const SUFFIX: &str = "1E4C9B93F3F0682250B6CF8331B7EE68FD8";

    /// Serves one request with `reply` (none: never answers), then tells what was asked.
    async fn server(reply: Option<Vec<u8>>) -> (String, oneshot::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/range", listener.local_addr().unwrap());
        let (tell, asked) = oneshot::channel();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if socket.read(&mut byte).await.unwrap_or(0) == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            drop(tell.send(String::from_utf8(request).unwrap()));
            match reply {
                Some(reply) => drop(socket.write_all(&reply).await),
                // Keeps the connection open until the client gives up.
                None => drop(socket.read(&mut [0]).await),
            }
        });
        (base, asked)
    }

    fn ok(body: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    async fn ask(reply: Option<Vec<u8>>, total: Duration) -> (BreachCheck, String) {
        let (base, asked) = server(reply).await;
        let lookup = HttpRangeLookup::with_time_outs(&base, Duration::from_secs(10), total).unwrap();
        let outcome = check(&lookup, &SecretString::from("password")).await;
        (outcome, asked.await.unwrap_or_default())
    }

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn asks_for_the_prefix_only_and_reads_the_answer() {
        let (outcome, asked) = ask(Some(ok(&format!("{}:5\r\n{SUFFIX}:9\r\n", "0".repeat(35)))), LONG).await;
        assert_eq!(outcome, BreachCheck::Found);
        assert!(asked.starts_with("GET /range/5BAA6 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.to_lowercase().contains("add-padding: true"));
        assert!(!asked.contains(&SUFFIX[..5]) && !asked.contains("password"), "{asked}");
        let (outcome, _) = ask(Some(ok(&format!("{}:5\r\n", "0".repeat(35)))), LONG).await;
        assert_eq!(outcome, BreachCheck::NotFound);
    }

    #[tokio::test]
    async fn whatever_goes_wrong_is_unknown() {
        let huge = format!("{SUFFIX}:1\r\n{}", format!("{}:5\r\n", "0".repeat(35)).repeat(28_000));
        assert!(huge.len() > MAX_BODY);
        for reply in [
            ok("<html></html>"),
            ok(&huge),
            format!("HTTP/1.1 500 Oops\r\nContent-Length: 37\r\n\r\n{SUFFIX}:9").into_bytes(),
            format!("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{SUFFIX}:9").into_bytes(),
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe".to_vec(),
            b"SSH-2.0-hello\r\n\r\n".to_vec(),
            Vec::new(),
        ] {
            let shown = String::from_utf8_lossy(&reply[..reply.len().min(60)]).into_owned();
            assert_eq!(ask(Some(reply), LONG).await.0, BreachCheck::Unknown, "{shown}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let (other, mut followed) = server(Some(ok(&format!("{SUFFIX}:9\r\n")))).await;
        let reply = format!("HTTP/1.1 302 Found\r\nLocation: {other}/5BAA6\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(ask(Some(reply.into_bytes()), LONG).await.0, BreachCheck::Unknown);
        assert!(followed.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_server_that_hangs_is_unknown_in_time() {
        let hung = ask(None, Duration::from_millis(50));
        let (outcome, _) = tokio::time::timeout(LONG, hung).await.expect("waited longer than its time-out");
        assert_eq!(outcome, BreachCheck::Unknown);
    }

    #[tokio::test]
    async fn nobody_there_is_unknown_and_errors_hide_the_prefix() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let lookup = HttpRangeLookup::with_time_outs(&base, LONG, LONG).unwrap();
        assert_eq!(check(&lookup, &SecretString::from("password")).await, BreachCheck::Unknown);
        let error = lookup.range("5BAA6").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(!format!("{error} {error:?}").contains("5BAA6"));
    }

    #[test]
    fn only_https_or_loopback_addresses_are_taken() {
        for good in [
            "https://api.pwnedpasswords.com/range/",
            "https://mirror.example/range",
            "http://127.0.0.1:8080/x",
            "http://[::1]:8080",
            "http://localhost/",
        ] {
            let lookup = HttpRangeLookup::new(good).unwrap_or_else(|e| panic!("{good}: {e}"));
            assert!(lookup.base.join("ABCDE").unwrap().as_str().ends_with("/ABCDE"), "{good}");
            assert!(lookup.base.path().starts_with(Url::parse(good).unwrap().path()), "{good}");
        }
        for bad in [
            "",
            "range",
            "http://api.pwnedpasswords.com/range/",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://10.0.0.1/",
            "ftp://localhost/",
            "file:///etc/passwd",
            "https://user:pass@mirror.example/",
            "https://mirror.example/?prefix=",
            "https://mirror.example/#x",
        ] {
            let error = HttpRangeLookup::new(bad).err().unwrap_or_else(|| panic!("{bad} was taken"));
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains("PASSWORD_BREACH_URL"));
        }
    }
}
