//! Bytes that many calls need, such as the weights of an agent: sent once, then named.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// Bytes with the name by which calls ask for them. Clones have the same bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Shared {
    id: String,
    #[serde(serialize_with = "as_bytes")]
    body: Arc<Vec<u8>>,
}

/// As it arrives.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    id: String,
    #[serde(with = "serde_bytes")]
    body: Vec<u8>,
}

impl Shared {
    /// Names bytes.
    pub fn new(body: Vec<u8>) -> Self {
        Self {
            id: sha256(&body),
            body: Arc::new(body),
        }
    }

    /// SHA-256 of the bytes, in hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The bytes.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl TryFrom<Unchecked> for Shared {
    type Error = String;

    fn try_from(Unchecked { id, body }: Unchecked) -> Result<Self, String> {
        let shared = Self::new(body);
        match shared.id == id {
            true => Ok(shared),
            false => Err(format!("a share of the bytes {}, not {id}", shared.id)),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Shared");
        shown.field("id", &self.id);
        shown.field("bytes", &self.body.len()).finish()
    }
}

fn as_bytes<S: Serializer>(body: &Arc<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(body)
}

/// Returns the SHA-256 of bytes, in lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
