//! `renewald schema`: prints the JSON Schema of every message.

use super::{Context, Error, Exit};
use crate::delivery;

pub fn run(context: &Context) -> Result<Exit, Error> {
    context.print(delivery::json_schema())?;
    Ok(Exit::Done)
}
