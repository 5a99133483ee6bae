//! Arguments of `authctl cleanup`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum CleanupCommand {
    /// Remove rows that are of no more use; quiet without a terminal, exit code 75 while another run is under way
    Run {
        /// No batch begins after so many seconds; what is left is for the next run
        #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        max_seconds: u64,
        /// Rows that are removed at once
        #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        batch: u32,
    },
    /// Show whether a run is under way, what the latest did, and what jobs there are
    Status,
}
