//! The file that is imported, or a copy of what came through a pipe: it is read twice.

use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::Path;

use super::super::{Error, Exit};
use crate::text::visible;

#[derive(Debug)]
pub struct Source {
    file: File,
    name: String,
    bytes: u64,
}

impl Source {
    /// Opens a file, or stdin where that is `-`. What cannot be read twice is copied to a temporary file without a name first.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let from_stdin = path.as_os_str() == "-";
        let name = if from_stdin { "stdin".to_owned() } else { visible(&path.display().to_string()) };
        let opened = if from_stdin { spool(&mut io::stdin().lock()) } else { File::open(path).and_then(rereadable) };
        let with_length = opened.and_then(|file| Ok((file.metadata()?.len(), file)));
        match with_length {
            Ok((bytes, file)) => Ok(Self { file, name, bytes }),
            Err(error) => Err(Error::new(Exit::BadInput, format!("cannot read {name}: {error}"))),
        }
    }

    /// Safe to show.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A reader from the beginning.
    pub fn rewind(&self) -> Result<BufReader<&File>, Error> {
        match (&self.file).seek(SeekFrom::Start(0)) {
            Ok(_) => Ok(BufReader::with_capacity(1 << 16, &self.file)),
            Err(error) => Err(Error::new(Exit::BadInput, format!("cannot read {} again: {error}", self.name))),
        }
    }
}

fn rereadable(mut file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { spool(&mut file) }
}

fn spool(from: &mut impl io::Read) -> io::Result<File> {
    let mut copy = tempfile::tempfile()?;
    io::copy(from, &mut copy)?;
    Ok(copy)
}
