use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::secret::SecretString;

/// No key needs more; a path that leads to something endless must not fill the memory.
const MAX_BYTES: u64 = 64 * 1024;

/// What a file that a `_FILE` twin names holds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SecretFile {
    /// The text, line ends at its end dropped.
    pub content: SecretString,
    /// Whether every account of the machine can read (or change) the file.
    pub world_readable: bool,
}

impl SecretFile {
    /// A file with `content`.
    pub fn new(content: &str, world_readable: bool) -> Self {
        Self { content: SecretString::from(content.trim_end_matches(['\r', '\n'])), world_readable }
    }
}

/// Reads a secret from a file: UTF-8, at most 64 KiB. For binaries; hand it to [`parse`](super::parse).
///
/// The permissions are those of the file that was opened, not of its name.
pub fn read_secret_file(path: &Path) -> io::Result<SecretFile> {
    let file = File::open(path)?;
    let world_readable = open_to_others(&file)?;
    // The right size from the start: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_BYTES).unwrap_or(0) + 1));
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than 64 KiB"));
    }
    let text = str::from_utf8(&bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))?;
    Ok(SecretFile::new(text, world_readable))
}

/// Whether every account can read (or change) what stands at `path`.
pub(super) fn is_world_readable(path: &Path) -> bool {
    File::open(path).and_then(|file| open_to_others(&file)).unwrap_or(false)
}

#[cfg(unix)]
fn open_to_others(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(file.metadata()?.mode() & 0o006 != 0)
}

#[cfg(not(unix))]
fn open_to_others(_: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::dev_keys::tests::TempDir;
    use super::*;
    use crate::secret::ExposeSecret as _;

    #[test]
    fn reads_and_looks_at_the_mode() {
        let dir = TempDir::new();
        let path = dir.join("key");
        fs::write(&path, "CANARY line\r\n\n").unwrap();
        for (mode, open) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let file = read_secret_file(&path).unwrap();
            assert_eq!(
                (file.content.expose_secret(), file.world_readable),
                ("CANARY line", open),
                "{mode:o}"
            );
            assert!(!format!("{file:?}").contains("CANARY"));
        }
    }

    #[test]
    fn refuses_what_is_no_key() {
        let dir = TempDir::new();
        let path = dir.join("key");
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(read_secret_file(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        fs::write(&path, vec![b'x'; 65 * 1024]).unwrap();
        assert_eq!(read_secret_file(&path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(read_secret_file(&dir.join("absent")).is_err());
        assert!(read_secret_file(Path::new("/dev/zero")).is_err());
    }
}
