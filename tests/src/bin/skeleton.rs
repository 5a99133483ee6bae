//! The skeleton server: only the work that nobody can leave out. See `authkit_tests::load::skeleton`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    authkit_tests::load::skeleton::main()
}
