//! What holds for any answer of Nexway Connect, from the wire's values to the decision: against models written from the design and
//! the reference instead of the code.

mod number;
mod order;
mod status;
