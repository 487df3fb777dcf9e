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
    let Sealed { key_id, body } = vault.seal(A, BODY).unwrap();
    let (key_id, body) = (key_id.unwrap().to_owned(), body.into_owned());
    assert!(!body.windows(9).any(|part| part == b"XXXX-YYYY"));
    assert_ne!(body, *vault.seal(A, BODY).unwrap().body, "a nonce of its own each time");
    let rotated = Vault::new(key(2), Some(key(1)));
    for vault in [&vault, &rotated] {
        assert_eq!(vault.open(A, Some(&key_id), body.clone()).unwrap(), BODY);
    }
    assert_ne!(rotated.current_id(), Some(&*key_id));
    for other in [Vault::new(key(2), None), Vault::without_key()] {
        let error = other.open(A, Some(&key_id), body.clone()).unwrap_err();
        assert_eq!(error, Error::Locked { message: A, key_id: key_id.clone() });
    }
}

#[test]
fn whatever_is_done_to_a_sealed_body_is_noticed() {
    let vault = Vault::new(key(1), Some(key(2)));
    let Sealed { key_id, body } = vault.seal(A, BODY).unwrap();
    let damaged = |id: Uuid, key_id: Option<&str>, body: &[u8]| {
        assert_eq!(vault.open(id, key_id, body.to_vec()), Err(Error::Damaged { message: id }), "{body:?}");
    };
    damaged(B, key_id, &body);
    damaged(A, vault.previous_id(), &body);
    damaged(A, None, &body);
    damaged(A, key_id, BODY);
    for length in 0..body.len() {
        damaged(A, key_id, &body[..length]);
    }
    for at in 0..body.len() {
        let mut flipped = body.to_vec();
        flipped[at] ^= 1;
        damaged(A, key_id, &flipped);
    }
}

#[test]
fn without_a_key_bodies_stay_as_they_are() {
    let vault = Vault::without_key();
    let sealed = vault.seal(A, BODY).unwrap();
    assert_eq!((sealed.key_id, &*sealed.body), (None, BODY));
    for vault in [vault, Vault::new(key(1), None)] {
        assert_eq!(vault.open(A, None, BODY.to_vec()).unwrap(), BODY, "from before there was a key");
    }
}

#[test]
fn a_key_that_is_not_there_seals_nothing() {
    let vault = Vault { current: Err("no file".to_owned()), previous: Ok(Some(key(1))) };
    assert_eq!(vault.seal(A, BODY).err(), Some(Error::NoKey("no file".to_owned())));
    assert_eq!((vault.can_seal(), vault.trouble()), (false, Some("no file")));
    assert_eq!(vault.open(A, None, BODY.to_vec()).unwrap(), BODY);
}

#[test]
fn nothing_shows_a_key() {
    let bytes = Key::generate().unwrap();
    assert_ne!(bytes, Key::generate().unwrap());
    let key = Key::new(&bytes);
    assert_eq!((key.id().len(), format!("{key:?}")), (8, "Key(***)".to_owned()));
    assert_eq!(format!("{:?}", Vault::new(key, None)), "Vault(***)");
}
