//! The vault against the published vector, and against everything that can happen to a row.

use super::*;

const A: Uuid = Uuid::from_u128(0xa);
const B: Uuid = Uuid::from_u128(0xb);
const BODY: &[u8] = b"{\"key\": \"XXXX-YYYY\"}";

fn key(byte: u8) -> Key {
    Key::new(&[byte; KEY_BYTES])
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// draft-irtf-cfrg-xchacha, appendix A.3.1.
#[test]
fn it_seals_as_the_draft_does() {
    let bytes: Vec<u8> = (0x80..=0x9f).collect();
    let key = Key::new(bytes.as_slice().try_into().unwrap());
    let nonce: Vec<u8> = (0x40..=0x57).collect();
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().unwrap();
    let aad = hex("50515253c0c1c2c3c4c5c6c7");
    let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                 sunscreen would be it.";
    let ciphertext =
        hex("bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39\
             ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
             21f9664c97637da9768812f615c68b13b52e");
    let tag = hex("c0875924c1c7987947deafd8780acf49");
    let sealed = key.seal_with(&nonce.into(), text, &aad).unwrap();
    assert_eq!(sealed, [&[FORMAT][..], &nonce, &ciphertext, &tag].concat());
    assert_eq!(key.open(&sealed, &aad).unwrap(), text);
}

#[test]
fn what_is_sealed_opens_with_either_key_and_no_other() {
    let vault = Vault::new(key(1), None);
    let sealed = vault.seal(A, BODY).unwrap();
    let key_id = vault.current_id().unwrap();
    assert_eq!((sealed.key_id.as_deref(), &sealed.checksum), (Some(key_id), &None));
    assert!(!sealed.body.windows(9).any(|part| part == b"XXXX-YYYY"));
    assert_ne!(sealed.body, vault.seal(A, BODY).unwrap().body, "a nonce of its own each time");
    let rotated = Vault::new(key(2), Some(key(1)));
    for vault in [&vault, &rotated] {
        assert_eq!(vault.open(A, sealed.clone()).unwrap(), BODY);
    }
    assert_ne!(rotated.current_id(), Some(key_id));
    for other in [Vault::new(key(2), None), Vault::without_key()] {
        let error = other.open(A, sealed.clone()).unwrap_err();
        assert_eq!(error, Error::Locked { message: A, key_id: key_id.to_owned() });
    }
}

#[test]
fn whatever_is_done_to_a_stored_body_is_noticed() {
    let (sealing, plain) = (Vault::new(key(1), Some(key(2))), Vault::without_key());
    let (sealed, open) = (sealing.seal(A, BODY).unwrap(), plain.seal(A, BODY).unwrap());
    let damaged = |id: Uuid, stored: Stored<'_>| {
        assert_eq!(sealing.open(id, stored.clone()), Err(Error::Damaged { message: id }), "{stored:?}");
    };
    for stored in [&sealed, &open] {
        damaged(B, stored.clone());
        let with_body = |body: Vec<u8>| Stored { body: body.into(), ..stored.clone() };
        for length in 0..stored.body.len() {
            damaged(A, with_body(stored.body[..length].to_vec()));
        }
        for at in 0..stored.body.len() {
            let mut flipped = stored.body.to_vec();
            flipped[at] ^= 1;
            damaged(A, with_body(flipped));
        }
    }
    damaged(A, Stored { key_id: sealing.previous_id().map(Into::into), ..sealed.clone() });
    damaged(A, Stored { key_id: None, ..sealed.clone() });
    damaged(A, Stored { key_id: None, checksum: open.checksum.clone(), ..sealed.clone() });
    damaged(A, Stored { key_id: sealed.key_id, ..open.clone() });
    damaged(A, Stored { checksum: None, ..open.clone() });
    damaged(A, Stored { checksum: Some(vec![]), ..open });
}

/// With Python: sha256(b"renewald message body v1\0" + id.encode() + b"\0" + body).
#[test]
fn the_checksum_is_the_documented_one() {
    let checksum = Vault::without_key().seal(A, BODY).unwrap().checksum.unwrap();
    assert_eq!(checksum, hex("a882461f12184b2d2e0be286085787000bcf1d59802cf4d5bc7760a7629c405c"));
}

#[test]
fn without_a_key_bodies_stay_as_they_are() {
    let vault = Vault::without_key();
    let stored = vault.seal(A, BODY).unwrap();
    assert_eq!((&stored.key_id, &*stored.body), (&None, BODY));
    for vault in [&vault, &Vault::new(key(1), None)] {
        assert_eq!(vault.open(A, stored.clone()).unwrap(), BODY, "from before there was a key");
    }
}

#[test]
fn a_key_that_is_not_there_seals_nothing() {
    let vault = Vault { current: Err("no file".to_owned()), previous: Ok(Some(key(1))) };
    assert_eq!(vault.seal(A, BODY).err(), Some(Error::NoKey("no file".to_owned())));
    assert_eq!((vault.can_seal(), vault.trouble()), (false, Some("no file")));
    assert_eq!(vault.open(A, Vault::without_key().seal(A, BODY).unwrap()).unwrap(), BODY);
}

#[test]
fn nothing_shows_a_key() {
    let bytes = Key::generate().unwrap();
    assert_ne!(bytes, Key::generate().unwrap());
    let key = Key::new(&bytes);
    assert_eq!((key.id().len(), format!("{key:?}")), (8, "Key(***)".to_owned()));
    assert_eq!(format!("{:?}", Vault::new(key, None)), "Vault(***)");
}
