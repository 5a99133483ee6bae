//! One test binary: a module for each part of the project, every test on each engine that it concerns.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::duration_suboptimal_units,
    clippy::unchecked_time_subtraction,
    clippy::assigning_clones,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::match_same_arms,
    clippy::single_match_else,
    clippy::print_stdout,
    reason = "tests fail by panicking, they wait for real processes and report figures"
)]

mod account;
mod account_browser;
mod accounts;
mod admin_lockouts;
mod admin_users;
mod api_keys;
mod api_keys_http;
mod app;
mod architecture;
mod audit;
mod authz;
mod authz_cli;
mod authz_matrix;
mod browser;
mod cleanup;
mod cli;
mod client_address;
mod clock_steps;
mod erase;
mod hooks;
mod http_cookies;
mod http_guess;
mod http_json;
mod http_observe;
mod http_story;
mod http_surface;
mod http_tokens;
mod idempotency;
mod infrastructure;
mod invitations;
mod kill9;
mod limits;
mod limits_http;
mod limits_operators;
mod limits_redis;
mod links;
mod links_change;
mod links_http;
mod links_kill9;
mod links_reset;
mod links_unlock;
mod links_verify;
mod lockout;
mod lockout_devices;
mod lockout_doors;
mod lockout_http;
mod lockout_races;
mod login;
mod mail;
mod mail_faults;
mod mail_smtp;
mod mfa;
mod mfa_doors;
mod mfa_http;
mod mfa_policy;
mod mfa_races;
mod mfa_seals;
mod outage;
mod pages;
mod pages_browser;
mod passkeys;
mod passkeys_browser;
mod passkeys_cli;
mod passkeys_factor;
mod passkeys_http;
mod passkeys_soft;
mod readme;
mod refresh;
mod revocation;
mod roles;
mod schema_parity;
mod schemathesis;
mod sessions;
mod signup;
mod startup;
mod store;
mod support;
mod tokens;
mod two_processes;
mod under_load;
