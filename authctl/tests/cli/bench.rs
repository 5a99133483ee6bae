//! A folder with a store of its own, and the program run in this process on it.

use std::collections::VecDeque;
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use authctl::{Exit, Io, Prompt, run};
use authkit::audit::AuditFilter;
use authkit::random::SystemRandom;
use authkit::secret::SecretString;
use authkit::{AuthKit, Credentials, Db, LockoutFilter, Login, Page, RequestMeta, Tokens, UserFilter};
use serde_json::{Value, json};

const MFA_KEY: &str = "q3VJm8xZ0tYwK1nR5uB7cD2eF4gH6iL9oP_sT-vXyA0=";
pub const PEPPER: &str = "mJ8kV2qX7tR4wZ9nB5cL1yH6gD3fS0pA-eUoIiKxTzQ";

pub struct Bench {
    dir: PathBuf,
    pub variables: Vec<(String, String)>,
}

pub struct Ran {
    pub exit: Exit,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn is(self, exit: Exit) -> Self {
        assert_eq!(self.exit, exit, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn fails(self, code: &str, exit: Exit) -> Self {
        let ran = self.is(exit);
        assert!(ran.err.contains(&format!("[{code}]")), "{code} is missing: {}", ran.err);
        assert!(ran.err.contains("effect: "), "{}", ran.err);
        ran
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }
}

#[derive(Clone, Default)]
pub struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Somebody who answers what was agreed before.
pub struct Answers(VecDeque<&'static str>);

impl Prompt for Answers {
    fn confirm(&mut self, _: &str) -> io::Result<bool> {
        Ok(self.0.pop_front().unwrap() == "yes")
    }

    fn secret(&mut self, _: &str) -> io::Result<SecretString> {
        Ok(SecretString::from(self.0.pop_front().unwrap()))
    }
}

impl Bench {
    /// An empty folder, cheap hashes, nothing else set.
    pub fn empty() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("authctl-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let database = format!("sqlite://{}", dir.join("a.db").display());
        let variables = [
            ("ENV", "dev"),
            ("DATABASE_URL", &database),
            ("TOKEN_PEPPER", PEPPER),
            ("MFA_ENCRYPTION_KEY", MFA_KEY),
            ("ARGON2_MEMORY_KIB", "8"),
            ("ARGON2_ITERATIONS", "1"),
            ("SESSION_POLICY", "multi"),
            ("USER", "ada"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { dir, variables }
    }

    /// With a current schema.
    pub async fn migrated() -> Self {
        let bench = Self::empty();
        bench.run(&["migrate", "up"]).await.is(Exit::Done);
        bench
    }

    /// With the demo accounts.
    pub async fn demo() -> Self {
        let bench = Self::empty();
        bench.run(&["seed", "--demo"]).await.is(Exit::Done);
        bench
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(other, _)| other != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A file that only its owner can open, unless `mode` says otherwise.
    #[cfg(unix)]
    pub fn file(&self, name: &str, text: &str, mode: u32) -> String {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    }

    pub fn io(&self, stdin: &str, answers: Option<&[&'static str]>) -> (Io, Buffer, Buffer) {
        let (out, err) = (Buffer::default(), Buffer::default());
        let io = Io {
            variables: self.variables.iter().map(|(n, v)| (n.into(), v.into())).collect(),
            stdin: Box::new(Cursor::new(stdin.to_owned().into_bytes())),
            stdout: Box::new(out.clone()),
            stderr: Box::new(err.clone()),
            prompt: answers.map(|a| Box::new(Answers(a.iter().copied().collect())) as Box<dyn Prompt>),
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            width: None,
        };
        (io, out, err)
    }

    pub async fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "", None).await
    }

    pub async fn run_with(&self, args: &[&str], stdin: &str, answers: Option<&[&'static str]>) -> Ran {
        let (io, out, err) = self.io(stdin, answers);
        // On the heap: a test that runs many commands would otherwise need more stack than a thread has.
        let exit = Box::pin(run(["authctl"].iter().chain(args), io)).await;
        Ran { exit, out: out.text(), err: err.text() }
    }

    pub async fn db(&self) -> Db {
        let url = &self.variables.iter().find(|(name, _)| name == "DATABASE_URL").unwrap().1;
        Db::connect(url).await.unwrap()
    }

    /// The library on the same store, as a server would hold it.
    pub async fn kit(&self) -> AuthKit {
        let variables = self.variables.iter().map(|(n, v)| (n.into(), v.into()));
        let settings = authkit::config::load(None, variables, false, &SystemRandom::new()).unwrap();
        let builder = AuthKit::builder(self.db().await, settings.secrets).config(settings.config);
        builder.build().await.unwrap()
    }

    pub async fn sign_in(&self, kit: &AuthKit, email: &str, password: &str) -> Tokens {
        let credentials = Credentials::new(email, SecretString::from(password));
        match kit.login(credentials, &RequestMeta::new()).await.unwrap() {
            Login::Complete(tokens) => tokens,
            other => panic!("{other:?}"),
        }
    }

    /// Everything that a command could have changed.
    pub async fn state(&self) -> Value {
        let kit = self.kit().await;
        let page = || Page::new(200, None).unwrap();
        let mut deleted = UserFilter::default();
        deleted.status = Some(authkit::UserStatus::Deleted);
        json!([
            kit.users().list(&UserFilter::default(), &page()).await.unwrap(),
            kit.users().list(&deleted, &page()).await.unwrap(),
            kit.roles().list().await.unwrap(),
            kit.sessions().list(&page()).await.unwrap(),
            kit.keys(),
            kit.admin(RequestMeta::new()).lockouts(&LockoutFilter::default(), &page()).await.unwrap(),
            kit.audit(&AuditFilter::default(), &page()).await.unwrap(),
        ])
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(Path::new(&self.dir));
    }
}
