use clap::CommandFactory as _;

use super::*;

fn walk(command: &clap::Command, path: &str, visit: &mut impl FnMut(&str, &clap::Arg)) {
    for arg in command.get_arguments() {
        visit(&format!("{path} {}", command.get_name()), arg);
    }
    for sub in command.get_subcommands() {
        walk(sub, &format!("{path} {}", command.get_name()), visit);
    }
}

fn takes_a_secret(arg: &clap::Arg) -> bool {
    const HINTS: [&str; 10] =
        ["password", "secret", "token", "pepper", "key", "code", "otp", "pin", "credential", "hash"];
    let names = [Some(arg.get_id().as_str()), arg.get_long()];
    let hints = names.into_iter().flatten().any(|name| {
        let name = name.replace('_', "-");
        HINTS.iter().any(|hint| name.contains(hint)) && !name.ends_with("-file") && !name.ends_with("-stdin")
    });
    arg.get_action().takes_values() && hints
}

#[test]
fn s_203_no_argument_takes_a_secret() {
    let mut seen = 0;
    walk(&Cli::command(), "", &mut |path, arg| {
        seen += 1;
        assert!(!takes_a_secret(arg), "{path} {}", arg.get_id());
    });
    assert!(seen > 50, "the tree was not walked");
    // The rule itself finds what it should.
    assert!(takes_a_secret(&clap::Arg::new("password").long("password")));
    assert!(takes_a_secret(&clap::Arg::new("t").long("refresh-token")));
    assert!(!takes_a_secret(&clap::Arg::new("password_file").long("password-file")));
}

#[test]
fn the_tree_is_sound_and_everything_has_help() {
    Cli::command().debug_assert();
    walk(&Cli::command(), "", &mut |path, arg| {
        assert!(arg.get_help().is_some(), "{path} {}", arg.get_id());
    });
}
