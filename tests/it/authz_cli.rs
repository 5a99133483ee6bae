//! `authctl org`, `membership`, `invite`, `authz`, and what `user` says about all that an account holds.

use authkit_tests::process::{Output, authctl_with};
use authkit_tests::{Store, on_both};
use serde_json::Value;

use crate::app::{PASSWORD, settings};

const TYPES: &str = "[[resource_types]]\nname = \"project\"\n\
    roles = { owner = [\"*\"], viewer = [\"read\"] }\nfrom_org = { owner = \"owner\" }\n";

struct Operator<'s> {
    store: &'s Store,
    env: Vec<(String, String)>,
}

impl<'s> Operator<'s> {
    fn new(store: &'s Store) -> Self {
        std::fs::write(store.folder().join("authkit.toml"), TYPES).unwrap();
        Self { store, env: settings(store, &[("MIGRATE_ON_START", "true")]) }
    }

    async fn run(&self, args: &[&str]) -> Output {
        authctl_with(&self.env, self.store.folder(), args, PASSWORD).await
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> impl Future<Output = Value> {
        let args: Vec<String> =
            args.iter().map(|&a| a.to_owned()).chain(["-o".into(), "json".into()]).collect();
        async move {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let out = self.run(&args).await;
            assert_eq!(out.code(), 0, "{args:?}: {}", out.stderr);
            out.json()
        }
    }

    async fn refused(&self, args: &[&str], exit: i32, code: &str) {
        let out = self.run(args).await;
        assert_eq!(out.code(), exit, "{args:?}: {}", out.stderr);
        assert!(out.stderr.contains(&format!("[{code}]")), "{args:?}: {}", out.stderr);
    }

    async fn user(&self, email: &str) {
        let args = ["user", "create", email, "--name", "Person", "--email-verified", "--password-stdin"];
        self.ok(&args).await;
    }
}

fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{pointer} in {value}"))
        .to_owned()
}

on_both! {
    async fn an_operator_has_a_verb_for_all_of_it(store: Store) {
        let op = Operator::new(&store);
        op.ok(&["migrate", "up"]).await;
        op.user("ann@example.com").await;
        op.user("bob@example.com").await;
        let made = op.ok(&["org", "create", "Clinic", "--admin-email", "ann@example.com", "--seat-limit", "2"]).await;
        let id = text(&made, "/resource/id");
        assert_eq!(made["changed"], true);
        op.ok(&["org", "add-member", &id, "bob@example.com"]).await;
        op.refused(&["org", "remove-member", &id, "ann@example.com"], 4, "E-ORG-2").await;
        op.refused(&["invite", "create", "new@example.com", "--org-id", &id], 4, "E-ORG-3").await;
        op.ok(&["org", "update", &id, "--seat-limit", "0"]).await;
        let sent = op.ok(&["invite", "create", "new@example.com", "--org-id", &id]).await;
        let invitation = text(&sent, "/resource/id");
        assert_eq!(text(&sent, "/resource/role"), "member");
        op.refused(&["invite", "create", "new@example.com", "--org-id", &id], 4, "E-INVITE-3").await;
        op.ok(&["invite", "resend", &invitation]).await;
        op.ok(&["invite", "revoke", &invitation]).await;
        op.refused(&["invite", "revoke", &invitation], 4, "E-INVITE-2").await;
        assert_eq!(text(&op.ok(&["invite", "list", "--org-id", &id]).await, "/items/0/status"), "revoked");
        op.ok(&["user", "invite", "third@example.com", "--role", "admin"]).await;
        op.ok(&["membership", "grant", "bob@example.com", "project:42", "viewer"]).await;
        let held = op.ok(&["membership", "list", "--user", "bob@example.com"]).await;
        assert_eq!(held["items"].as_array().unwrap().len(), 2);
        let on = op.ok(&["membership", "list", "--resource", "project:42"]).await;
        let yes = op.ok(&["authz", "explain", "bob@example.com", "read", "project:42"]).await;
        assert_eq!((&yes["allowed"], &yes["row"]["kind"]), (&true.into(), &"membership".into()));
        let no = op.run(&["authz", "explain", "bob@example.com", "edit", "project:42", "-o", "json"]).await;
        assert_eq!((no.code(), &no.json()["allowed"]), (6, &false.into()));
        assert!(text(&no.json(), "/why").contains("does not permit edit"));
        op.refused(&["membership", "revoke", &text(&on, "/items/0/id"), "-n", "-q", "--reason", ""], 2, "E-USAGE-1").await;
        op.ok(&["membership", "revoke", &text(&on, "/items/0/id")]).await;
        op.refused(&["membership", "revoke", &text(&on, "/items/0/id")], 3, "E-MEMBERSHIP-1").await;
        op.refused(&["membership", "grant", "bob@example.com", "project:42", "ghost"], 5, "E-INPUT-1").await;
        op.refused(&["org", "show", "018f9f7e-0000-7000-8000-000000000000"], 3, "E-ORG-1").await;
        op.refused(&["org", "show", "no-id"], 3, "E-ORG-1").await;
        assert!(op.ok(&["authz", "types"]).await["items"].as_array().unwrap().len() >= 5);
        let export = op.ok(&["user", "export", "ann@example.com"]).await;
        assert_eq!(export["memberships"][0]["role"], "owner");
        op.refused(&["user", "erase", "ann@example.com", "--no-input"], 2, "E-CONFIRM-1").await;
        op.refused(&["user", "erase", "ann@example.com", "-y"], 4, "E-ORG-2").await;
        op.refused(&["user", "delete", "ann@example.com", "-y"], 4, "E-ORG-2").await;
        let rehearsed = op.ok(&["user", "erase", "ann@example.com", "--hand-over-to", "bob@example.com", "-n"]).await;
        assert_eq!(rehearsed["changed"], true);
        op.ok(&["user", "show", "ann@example.com"]).await;
        op.ok(&["user", "erase", "ann@example.com", "--hand-over-to", "bob@example.com", "-y"]).await;
        op.refused(&["user", "show", "ann@example.com"], 3, "E-USER-1").await;
        op.refused(&["org", "delete", &id, "--no-input"], 2, "E-CONFIRM-1").await;
        op.ok(&["org", "delete", &id, "-y"]).await;
        assert!(op.ok(&["org", "list"]).await["items"].as_array().unwrap().is_empty());
    }

    async fn a_seed_file_makes_tenants_once(store: Store) {
        let op = Operator::new(&store);
        op.ok(&["migrate", "up"]).await;
        let file = "[[users]]\nemail = \"ada@example.com\"\nname = \"Ada\"\nemail_verified = true\n\
            [[users]]\nemail = \"grace@example.com\"\nname = \"Grace\"\n\
            [[organisations]]\nname = \"Clinic\"\nowner = \"ada@example.com\"\n\
            members = { \"grace@example.com\" = \"member\" }\n\
            [[memberships]]\nuser = \"grace@example.com\"\nresource = \"project:7\"\nrole = \"viewer\"\n";
        std::fs::write(store.folder().join("seed.toml"), file).unwrap();
        let first = op.ok(&["seed", "seed.toml"]).await;
        assert_eq!(first["resource"]["changes"], 5, "{first}");
        let second = op.ok(&["seed", "seed.toml"]).await;
        assert_eq!(second["resource"]["changes"], 0, "{second}");
        op.ok(&["authz", "explain", "grace@example.com", "read", "project:7"]).await;
        assert_eq!(op.ok(&["org", "list"]).await["items"][0]["name"], "Clinic");
        // All of it or nothing.
        for (bad, exit, code) in [
            ("[[organisations]]\nname = \"X\"\nowner = \"nobody@example.com\"\n", 5, "E-INPUT-1"),
            ("[[organisations]]\nname = \"X\"\nowner = \"grace@example.com\"\n", 5, "E-INPUT-1"),
            ("[[memberships]]\nuser = \"ada@example.com\"\nresource = \"project\"\nrole = \"viewer\"\n", 5, "E-INPUT-1"),
            ("[[memberships]]\nuser = \"ada@example.com\"\nresource = \"project:8\"\nrole = \"ghost\"\n", 5, "E-INPUT-1"),
        ] {
            std::fs::write(store.folder().join("bad.toml"), format!("{file}{bad}")).unwrap();
            op.refused(&["seed", "bad.toml"], exit, code).await;
        }
        assert_eq!(op.ok(&["org", "list"]).await["items"].as_array().unwrap().len(), 1);
    }
}
