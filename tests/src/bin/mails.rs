//! How fast the outbox drains into an SMTP sink. See `authkit_tests::load::mails`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    if authkit_tests::load::mails::measure().await { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
