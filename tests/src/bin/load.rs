//! The load program: `cargo run --release -p authkit-tests --bin load -- --help`.

fn main() -> std::process::ExitCode {
    authkit_tests::load::main()
}
