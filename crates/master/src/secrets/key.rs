//! The key of the secrets, in a file that only masters have.

use crate::error::{SqlError, SqlResult, SqlState};
use parking_lot::Mutex;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Its file in a master's data directory.
pub const SECRET_KEY_FILE: &str = "secrets.key";

const KEY_BYTES: usize = 32;
/// Of the name of a key.
const ID_BYTES: usize = 8;
const KEY_MODE: u32 = 0o600;
/// A key may be read by its group, as secrets that a container is handed are; by nobody else, and changed by its owner only.
const KEY_MODE_FORBIDDEN: u32 = 0o027;

/// A key, which encrypts with AES-256-GCM.
pub(crate) struct SecretKey {
    cipher: LessSafeKey,
    /// Tells keys apart, and nothing of them.
    id: String,
}

/// Its name only.
impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.id)
    }
}

impl SecretKey {
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let cipher = UnboundKey::new(&AES_256_GCM, bytes).expect("the key is as long as the cipher's");
        let name = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), b"damson secret key 1");
        SecretKey { cipher: LessSafeKey::new(cipher), id: to_hex(&name.as_ref()[..ID_BYTES]) }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Nonce, ciphertext and tag, in hexadecimal. `context` must be the same to read it.
    ///
    /// # Errors
    /// XX000 where the system has no random numbers.
    pub fn encrypt(&self, context: &[u8], mut text: Vec<u8>) -> SqlResult<String> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let sealed =
            self.cipher.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut text);
        sealed.map_err(|_| crate::error::internal("a secret is too long to be encrypted"))?;
        Ok(to_hex(&[nonce.as_slice(), &text].concat()))
    }

    /// None: it was encrypted with another key or for another context, or has been changed.
    pub fn decrypt(&self, context: &[u8], sealed: &str) -> Option<Vec<u8>> {
        let mut sealed = from_hex(sealed)?;
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.cipher.open_in_place(nonce, Aad::from(context), text).ok()?;
        Some(text.to_vec())
    }
}

/// Where the key is; read when it is first needed.
pub(crate) struct SecretKeyFile {
    path: PathBuf,
    key: Mutex<Option<Arc<SecretKey>>>,
}

impl SecretKeyFile {
    pub fn new(path: PathBuf) -> Self {
        SecretKeyFile { path, key: Mutex::default() }
    }

    /// Which key it has, for messages. Blocks.
    ///
    /// # Errors
    /// As [`SecretKeyFile::read`].
    pub fn told(&self) -> SqlResult<String> {
        let path = self.path.display();
        Ok(match self.read()? {
            Some(key) => format!("{path} has the key {}", key.id()),
            None => format!("there is no file {path}"),
        })
    }

    /// The key; None if there is no file. Blocks.
    ///
    /// # Errors
    /// 42501 for a file that others may read, or that may not be read; XX001 for one that is no key's; 58030.
    pub fn read(&self) -> SqlResult<Option<Arc<SecretKey>>> {
        let mut key = self.key.lock();
        if key.is_none() {
            *key = read(&self.path)?.map(|bytes| Arc::new(SecretKey::new(&bytes)));
        }
        Ok(key.clone())
    }

    /// The key, made if there is none. Blocks.
    ///
    /// # Errors
    /// As [`SecretKeyFile::read`], and those of writing.
    pub fn read_or_make(&self) -> SqlResult<Arc<SecretKey>> {
        if let Some(key) = self.read()? {
            return Ok(key);
        }
        match make(&self.path, &random()?) {
            Ok(()) => tracing::info!(path = %self.path.display(), "made the key of the secrets"),
            // Another process was first.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("write", &self.path, &error)),
        }
        self.read()?.ok_or_else(|| failed("read", &self.path, &io::ErrorKind::NotFound.into()))
    }
}

fn random<const N: usize>() -> SqlResult<[u8; N]> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| crate::error::internal("the system has no random numbers"))?;
    Ok(bytes)
}

fn read(path: &Path) -> SqlResult<Option<[u8; KEY_BYTES]>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(no_key(path)),
        Err(error) => return Err(failed("read", path, &error)),
    };
    let metadata = fs::metadata(path).map_err(|error| failed("read", path, &error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & KEY_MODE_FORBIDDEN != 0 {
        let message =
            format!("the key of the secrets, {}, can be read or changed by others: mode {mode:o}", path.display());
        return Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
            .with_hint(format!("Give it mode {KEY_MODE:o}, and think of its secrets as known.")));
    }
    from_hex(text.trim_end()).and_then(|bytes| bytes.try_into().ok()).map(Some).ok_or_else(|| no_key(path))
}

fn no_key(path: &Path) -> SqlError {
    let message = format!("{} is no key of secrets: it is not {} hexadecimal digits", path.display(), 2 * KEY_BYTES);
    SqlError::new(SqlState::DATA_CORRUPTED, message)
}

fn failed(what: &str, path: &Path, error: &io::Error) -> SqlError {
    let state = match error.kind() {
        io::ErrorKind::PermissionDenied => SqlState::INSUFFICIENT_PRIVILEGE,
        io::ErrorKind::StorageFull => SqlState::DISK_FULL,
        _ => SqlState::IO_ERROR,
    };
    SqlError::new(state, format!("cannot {what} the key of the secrets, {}: {error}", path.display()))
}

/// A file that is there whole, or not at all, and for no moment open to others. It takes nobody's place.
fn make(path: &Path, key: &[u8; KEY_BYTES]) -> io::Result<()> {
    let mut draft_name = path.file_name().unwrap_or_default().to_owned();
    draft_name.push(format!(".{}.tmp", std::process::id()));
    let draft = path.with_file_name(draft_name);
    // A draft that a crash left behind may have been made with another mode.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(KEY_MODE).open(&draft)?;
    let written = writeln!(file, "{}", to_hex(key)).and_then(|()| file.sync_all());
    // Unlike a rename, a link is refused where there is one.
    let named = written.and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    named?;
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => File::open(directory)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some((digit(*pair.first()?)? << 4) | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_hexadecimal() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
        assert_eq!(from_hex("0G"), None);
        assert_eq!(from_hex("abc"), None);
        assert_eq!(from_hex("ä"), None);
    }

    #[test]
    fn what_was_encrypted_is_read_with_its_key_and_context_only() {
        let key = SecretKey::new(&[1; KEY_BYTES]);
        let sealed = key.encrypt(b"context", b"hush".to_vec()).unwrap();
        assert!(!sealed.contains(&to_hex(b"hush")));
        assert_eq!(key.decrypt(b"context", &sealed).as_deref(), Some(b"hush".as_slice()));
        assert_ne!(key.encrypt(b"context", b"hush".to_vec()).unwrap(), sealed, "each has a nonce of its own");
        assert_eq!(key.decrypt(b"another", &sealed), None);
        assert_eq!(SecretKey::new(&[2; KEY_BYTES]).decrypt(b"context", &sealed), None);
        for at in (0..sealed.len()).step_by(7) {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(key.decrypt(b"context", std::str::from_utf8(&changed).unwrap()), None, "digit {at}");
        }
        for cut in ["", "00", &sealed[..24], &sealed[..sealed.len() - 2]] {
            assert_eq!(key.decrypt(b"context", cut), None);
        }
        assert_eq!(format!("{key:?}"), format!("SecretKey({})", key.id()));
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets.key");
        let file = SecretKeyFile::new(path.clone());
        assert!(file.read().unwrap().is_none());
        let made = file.read_or_make().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");
        let again = SecretKeyFile::new(path.clone());
        assert_eq!(again.read_or_make().unwrap().id(), made.id());
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.len(), 2 * KEY_BYTES + 1);
        assert!(!text.contains(made.id()), "its name is not a part of it");
        assert_eq!(make(&path, &[0; KEY_BYTES]).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn files_that_are_no_keys_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets.key");
        let state = |text: &[u8], mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            SecretKeyFile::new(path.clone()).read().err().map(|error| error.state)
        };
        let good = [b'a'; 2 * KEY_BYTES];
        assert_eq!(state(&good, 0o600), None);
        assert_eq!(state(&good, 0o640), None, "a container's");
        assert_eq!(state(&good, 0o644), Some(SqlState::INSUFFICIENT_PRIVILEGE));
        assert_eq!(state(&good, 0o620), Some(SqlState::INSUFFICIENT_PRIVILEGE));
        for bad in [&good[1..], b"", b"\xff\xfe", &[b'g'; 2 * KEY_BYTES]] {
            assert_eq!(state(bad, 0o600), Some(SqlState::DATA_CORRUPTED));
        }
    }
}
