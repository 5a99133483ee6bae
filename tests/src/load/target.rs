//! What is measured: the server or the skeleton, as a process on a store of its own.

use std::net::SocketAddr;

use super::drivers::{Accounts, Get, Login, Refresh, SignUp, credentials, spread};
use super::embedded::WITHOUT_LIMITS;
use super::generator::Drivers;
use super::http::{self, Connection};
use super::{accounts, email};
use crate::backends::{Backend, Store};
use crate::cargo;
use crate::process::{Launch, ServerProcess};

/// Accounts that are there before anything is measured.
pub(crate) const ACCOUNTS: usize = 1_000;
/// Accounts whose device is known, at least, before sign-ins are measured.
const KNOWN_DEVICES: usize = 192;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Server,
    Skeleton,
    Embedded,
    /// [`Self::Embedded`] whose limits count nothing.
    Unlimited,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Bare,
    Authenticated,
    Me,
    Refresh,
    Login,
    /// From a device that nobody has seen.
    NewDevice,
    SignUp,
}

impl Operation {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare answer",
            Self::Authenticated => "authenticated",
            Self::Me => "me",
            Self::Refresh => "refresh",
            Self::Login => "login",
            Self::NewDevice => "login, new device",
            Self::SignUp => "sign-up",
        }
    }

    /// The part of the program that measures it.
    pub(crate) const fn part(self) -> &'static str {
        match self {
            Self::NewDevice => Self::Login.name(),
            other => other.name(),
        }
    }
}

impl Kind {
    fn path(self, operation: Operation) -> &'static str {
        match (self, operation) {
            (Self::Server | Self::Embedded | Self::Unlimited, Operation::Bare) => "/health",
            (Self::Embedded, Operation::Authenticated) => "/who",
            (Self::Server | Self::Embedded | Self::Unlimited, Operation::Me | Operation::Authenticated) => {
                "/v1/auth/me"
            }
            (Self::Server | Self::Embedded | Self::Unlimited, Operation::Refresh) => "/v1/auth/refresh",
            (Self::Server | Self::Embedded | Self::Unlimited, Operation::Login | Operation::NewDevice) => {
                "/v1/auth/login"
            }
            (Self::Server | Self::Embedded | Self::Unlimited, Operation::SignUp) => "/v1/auth/signup",
            (Self::Skeleton, Operation::Bare) => "/bare",
            (Self::Skeleton, Operation::Me | Operation::Authenticated) => "/me",
            (Self::Skeleton, Operation::Refresh) => "/refresh",
            (Self::Skeleton, Operation::Login | Operation::NewDevice) => "/login",
            (Self::Skeleton, Operation::SignUp) => "/signup",
        }
    }

    pub(crate) fn login_path(self) -> &'static str {
        self.path(Operation::Login)
    }

    /// The release binary with the settings that allow load, everything else as shipped.
    pub(crate) fn launch(self, store: &Store, accounts: usize) -> Launch {
        const MANY: &str = "1000000000/1h";
        match self {
            Self::Skeleton => Launch::binary(cargo::release_own("skeleton"))
                .envs(store.env())
                .env("SKELETON_ACCOUNTS", &accounts.to_string()),
            Self::Server | Self::Embedded | Self::Unlimited => Launch::binary(match self {
                Self::Embedded | Self::Unlimited => cargo::release_own("embedded"),
                _ => cargo::release_binary("authkit-server"),
            })
            .envs(store.env())
            .env("SESSION_POLICY", "multi")
            .env("EMAIL_VERIFICATION", "off")
            .env("RL_LOGIN_IP_LIMIT", MANY)
            .env("RL_LOGIN_EMAIL_LIMIT", MANY)
            .env("RL_SIGNUP_IP_LIMIT", MANY)
            .env("RL_REFRESH_USER_LIMIT", MANY)
            .envs((self == Self::Unlimited).then(|| (WITHOUT_LIMITS.to_owned(), "1".to_owned()))),
        }
        .discard_logs()
    }
}

/// What a sign-in gave; the skeleton knows no devices.
struct Held {
    access: String,
    refresh: String,
    device: String,
}

pub(crate) struct Target {
    pub(crate) kind: Kind,
    // Before the store: dropped in this order.
    pub(crate) process: ServerProcess,
    pub(crate) store: Store,
    accounts: usize,
}

impl Target {
    /// Starts it on a new store with that many accounts.
    pub(crate) async fn start(kind: Kind, backend: Backend, accounts: usize) -> Self {
        let store = Store::new(backend).await;
        let process = kind.launch(&store, accounts).start().await;
        let target = Self { kind, process, store, accounts };
        if kind != Kind::Skeleton {
            accounts::insert(&target.store, accounts).await;
        }
        target
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address().parse().expect("an address")
    }

    /// The drivers of an operation: one a connection, each with `each` accounts of its own where it needs sessions.
    pub(crate) async fn drivers(&self, operation: Operation, connections: usize, each: usize) -> Drivers {
        let path = self.kind.path(operation);
        let mut drivers: Drivers = Vec::new();
        for connection in 0..connections {
            drivers.push(match operation {
                Operation::Bare => Box::new(Get::new(vec![http::get(path, None)])),
                Operation::Login if self.kind != Kind::Skeleton => {
                    // Several accounts, so that no session has to make room for another.
                    let each = each.max(KNOWN_DEVICES.div_ceil(connections));
                    let mut known = Vec::new();
                    for number in connection * each..(connection + 1) * each {
                        let account = spread(number, self.accounts);
                        known.push((account, self.sign_in(account).await.device));
                    }
                    Box::new(Login::new(path, Accounts::Known(known)))
                }
                Operation::Login | Operation::NewDevice => {
                    Box::new(Login::new(path, Accounts::Any(self.accounts)))
                }
                Operation::SignUp => Box::new(SignUp::new(path)),
                Operation::Authenticated | Operation::Me | Operation::Refresh => {
                    let numbers = connection * each..(connection + 1) * each;
                    let mut tokens = Vec::new();
                    for number in numbers {
                        tokens.push(self.sign_in(spread(number, self.accounts)).await);
                    }
                    if operation == Operation::Refresh {
                        Box::new(Refresh::new(path, tokens.into_iter().map(|held| held.refresh).collect()))
                    } else {
                        Box::new(Get::new(
                            tokens.iter().map(|held| http::get(path, Some(&held.access))).collect(),
                        ))
                    }
                }
            });
        }
        drivers
    }

    async fn sign_in(&self, account: usize) -> Held {
        let request = http::post(self.kind.path(Operation::Login), &credentials(account, None));
        let mut connection = Connection::open(self.address()).await.expect("a connection");
        let (status, body) = connection.exchange(&request).await.expect("an answer");
        let token = |member| http::text(body, member).map(str::to_owned);
        match (token("access_token"), token("refresh_token")) {
            (Some(access), Some(refresh)) if status == 200 => {
                Held { access, refresh, device: token("device_token").unwrap_or_default() }
            }
            _ => panic!("{} cannot sign in: {status} {}", email(account), String::from_utf8_lossy(body)),
        }
    }
}
