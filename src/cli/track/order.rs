//! What a provider answered when an order was created, from a file or from stdin.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;

use super::super::{Error, Exit};
use crate::convention::{Convention, Created};
use crate::text::visible;

/// Order data may carry licence files.
const MOST_BYTES: u64 = 64 << 20;

/// Reads an order from a file, or from stdin where that is `-`, as this kind of provider writes it.
pub fn read(path: &Path, convention: &Convention) -> Result<Created, Error> {
    let Some(parse) = convention.created else {
        return Err(Error::usage("--from-order: this kind of provider answers no order that names its subscriptions"));
    };
    let mut text = String::new();
    let from_stdin = path.as_os_str() == "-";
    let done = if from_stdin {
        stdin().lock().take(MOST_BYTES).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text))
    };
    let shown = if from_stdin { "stdin".to_owned() } else { visible(&path.display().to_string()) };
    match done {
        Ok(_) => parse(&text).map_err(|reason| Error::bad_input(format!("order in {shown}: {reason}"))),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err(Error::bad_input(format!("order in {shown}: not UTF-8")))
        }
        Err(error) => Err(Error::new(Exit::BadInput, format!("cannot read the order in {shown}: {error}"))),
    }
}
