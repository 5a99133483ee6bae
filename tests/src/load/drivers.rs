//! The requests of each operation.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::generator::Driver;
use super::{PASSWORD, email, http};

/// GETs that never change, one after the other.
pub(crate) struct Get {
    requests: Vec<Vec<u8>>,
    next: usize,
}

impl Get {
    pub(crate) fn new(requests: Vec<Vec<u8>>) -> Self {
        Self { requests, next: 0 }
    }
}

impl Driver for Get {
    fn request(&mut self) -> &[u8] {
        self.next = (self.next + 1) % self.requests.len();
        &self.requests[self.next]
    }

    fn answer(&mut self, status: u16, _: &[u8]) -> bool {
        status == 200
    }
}

/// Sessions that the connection rotates in turn, each with the token of its last answer.
pub(crate) struct Refresh {
    path: &'static str,
    tokens: Vec<String>,
    next: usize,
    request: Vec<u8>,
}

impl Refresh {
    pub(crate) fn new(path: &'static str, tokens: Vec<String>) -> Self {
        Self { path, tokens, next: 0, request: Vec::new() }
    }
}

impl Driver for Refresh {
    fn request(&mut self) -> &[u8] {
        self.next = (self.next + 1) % self.tokens.len();
        let body = format!(r#"{{"refresh_token":"{}"}}"#, self.tokens[self.next]);
        self.request = http::post(self.path, &body);
        &self.request
    }

    fn answer(&mut self, status: u16, body: &[u8]) -> bool {
        let Some(token) = http::text(body, "refresh_token").filter(|_| status == 200) else { return false };
        let changed = *token != self.tokens[self.next];
        self.tokens[self.next] = token.into();
        changed
    }
}

/// Sign-ins, each of the next account in line.
pub(crate) struct Login {
    path: &'static str,
    accounts: Accounts,
    request: Vec<u8>,
}

/// Whose sign-ins they are.
pub(crate) enum Accounts {
    /// Accounts of this connection, each with the token by which its device is known: how people sign in.
    Known(Vec<(usize, String)>),
    /// Any of so many, from a device that nobody has seen.
    Any(usize),
}

impl Login {
    pub(crate) fn new(path: &'static str, accounts: Accounts) -> Self {
        Self { path, accounts, request: Vec::new() }
    }
}

/// The body of a sign-in.
pub(crate) fn credentials(account: usize, device: Option<&str>) -> String {
    let device = device.map_or_else(String::new, |token| format!(r#","device_token":"{token}""#));
    format!(r#"{{"email":"{}","password":"{PASSWORD}"{device}}}"#, email(account))
}

/// Spreads consecutive numbers over all accounts.
pub(crate) fn spread(n: usize, accounts: usize) -> usize {
    // A prime greater than any number of accounts in use visits each of them before it comes back.
    n.wrapping_mul(1_000_003) % accounts
}

impl Driver for Login {
    fn request(&mut self) -> &[u8] {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let body = match &self.accounts {
            Accounts::Known(known) => {
                let (account, device) = &known[next % known.len()];
                credentials(*account, Some(device))
            }
            Accounts::Any(count) => credentials(spread(next, *count), None),
        };
        self.request = http::post(self.path, &body);
        &self.request
    }

    fn answer(&mut self, status: u16, body: &[u8]) -> bool {
        status == 200 && http::text(body, "access_token").is_some()
    }
}

/// Sign-ups, each of an address that nobody had.
pub(crate) struct SignUp {
    path: &'static str,
    request: Vec<u8>,
}

impl SignUp {
    pub(crate) fn new(path: &'static str) -> Self {
        Self { path, request: Vec::new() }
    }
}

impl Driver for SignUp {
    fn request(&mut self) -> &[u8] {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let body = format!(r#"{{"name":"New","email":"new-{n}@example.com","password":"{PASSWORD}"}}"#);
        self.request = http::post(self.path, &body);
        &self.request
    }

    fn answer(&mut self, status: u16, _: &[u8]) -> bool {
        matches!(status, 200..=202)
    }
}
