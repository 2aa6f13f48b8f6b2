//! The memory of lanes as a text that travels with a caller.
//!
//! Base64 (RFC 4648, the URL-safe alphabet without padding) of: the format's version, one byte; the first eight bytes of
//! the checkpoint's SHA-256; the lanes as MessagePack; the first sixteen bytes of an HMAC-SHA-256 of all that. The key is
//! derived from the checkpoint's bytes: a state is good at every service of the same checkpoint, one that was changed is
//! found out, and who does not have the checkpoint cannot make one up.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use env_protocol::{ErrorCode, Problem};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::lanes::ServedLanes;

const VERSION: u8 = 1;
const ID_BYTES: usize = 8;
const TAG_BYTES: usize = 16;

/// Seals and opens the states of one checkpoint.
pub struct Seal {
    id: [u8; ID_BYTES],
    mac: Hmac<Sha256>,
}

impl Seal {
    /// For the states of a checkpoint, given as its file's content.
    pub fn new(checkpoint: &[u8]) -> Self {
        let id = Sha256::digest(checkpoint);
        let key = Sha256::new_with_prefix("key of the states of a checkpoint: ")
            .chain_update(checkpoint)
            .finalize();
        Self {
            id: std::array::from_fn(|i| id[i]),
            mac: Hmac::new_from_slice(&key).expect("keys of any length are taken"),
        }
    }

    /// Most bytes of the text of lanes that take `lanes_bytes`, whose numbers have four bytes each.
    pub fn max_text_bytes(lanes_bytes: usize) -> usize {
        // In MessagePack a number has one byte more; the rest has names and the generator.
        let lanes = lanes_bytes / 4 * 5 + 1_024;
        (lanes + 1 + ID_BYTES + TAG_BYTES).div_ceil(3) * 4
    }

    /// The text.
    pub fn seal(&self, lanes: &ServedLanes) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.id);
        rmp_serde::encode::write(&mut bytes, lanes).expect("lanes are plain data");
        let tag = self.tag(&bytes);
        bytes.extend(tag);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The lanes of a text.
    ///
    /// # Errors
    /// `invalid-state`: says whether it is damaged, of another version or of another checkpoint.
    pub fn open(&self, text: &str) -> Result<ServedLanes, Problem> {
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|error| refused(format!("it is damaged: {error}")))?;
        let cut_off = || refused("it is cut off".into());
        let (content, tag) = bytes.split_last_chunk::<TAG_BYTES>().ok_or_else(cut_off)?;
        let (&version, rest) = content.split_first().ok_or_else(cut_off)?;
        let (id, lanes) = rest.split_first_chunk::<ID_BYTES>().ok_or_else(cut_off)?;
        if version != VERSION {
            let detail = format!("its version is {version}, and this service has {VERSION}");
            return Err(refused(detail));
        }
        if *id != self.id {
            return Err(refused("it is of another checkpoint".into()));
        }
        let mac = self.mac.clone().chain_update(content);
        mac.verify_truncated_left(tag)
            .map_err(|_| refused("it is damaged: its checksum is another".into()))?;
        rmp_serde::from_slice(lanes).map_err(|error| refused(format!("it is damaged: {error}")))
    }

    fn tag(&self, content: &[u8]) -> [u8; TAG_BYTES] {
        let tag = self.mac.clone().chain_update(content).finalize();
        let tag = tag.into_bytes();
        std::array::from_fn(|i| tag[i])
    }
}

fn refused(detail: String) -> Problem {
    Problem::new(ErrorCode::InvalidState, detail).at("/state")
}
