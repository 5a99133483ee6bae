//! An application that embeds the library. See `authkit_tests::load::embedded`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    authkit_tests::load::embedded::main()
}
