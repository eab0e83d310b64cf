//! [`InputPorts`] and [`OutputPorts`]: the types of records per port.
//!
//! A type that serde supports is the record type of a single port. An enum that derives these traits has one variant
//! per port.

use crate::Result;
use crate::encoding::Encoding;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The input of an operator, by input port.
///
/// Implemented for every type that serde can deserialize, with a single port called `in`. For several ports with different
/// types, derive it for an enum with one variant per port:
///
/// ```
/// use mosaik_wasm_sdk::prelude::*;
/// # #[derive(Deserialize)] struct Order { id: u64 }
/// # #[derive(Deserialize)] struct Payment { order: u64 }
///
/// #[derive(InputPorts)]
/// enum Input {
///     Orders(Order),
///     #[port = "paid"]
///     Payments(Payment),
/// }
///
/// assert_eq!(<Input as InputPorts>::PORTS, ["orders", "paid"]);
/// ```
///
/// A port has the name of its variant in snake case, unless `#[port = "…"]` sets another one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a stream",
    note = "derive `serde::Deserialize` for the records of one port, or `InputPorts` for an enum with one variant per port"
)]
pub trait InputPorts: Sized {
    /// The names of the ports, in the order of their numbers.
    const PORTS: &'static [&'static str];

    /// Decodes a record of a port.
    ///
    /// # Errors
    /// Fails if it does not match the port's type.
    fn read(port: usize, encoding: Encoding, datum: &[u8]) -> Result<Self>;
}

impl<T: DeserializeOwned> InputPorts for T {
    const PORTS: &'static [&'static str] = &["in"];

    fn read(_port: usize, encoding: Encoding, datum: &[u8]) -> Result<Self> {
        encoding.decode(datum)
    }
}

/// The output of an operator, by output port.
///
/// Implemented for every type that serde can serialize, with a single port called `out`. For several ports, derive it for
/// an enum with one variant per port:
///
/// ```
/// use mosaik_wasm_sdk::prelude::*;
/// # #[derive(Serialize)] struct Bar { close: f64 }
/// # #[derive(Deserialize)] struct Price { price: f64, late: bool }
///
/// #[derive(OutputPorts)]
/// enum Output {
///     Out(Bar),
///     Late(f64),
/// }
///
/// #[operator]
/// fn bars(price: Price) -> Output {
///     if price.late { Output::Late(price.price) } else { Output::Out(Bar { close: price.price }) }
/// }
/// ```
///
/// Ports are named like those of [`InputPorts`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written to a stream",
    note = "derive `serde::Serialize` for the records of one port, or `OutputPorts` for an enum with one variant per port"
)]
pub trait OutputPorts {
    /// The names of the ports, in the order of their numbers.
    const PORTS: &'static [&'static str];

    /// Returns the number of the record's port.
    fn port(datum: &Self) -> usize;

    /// Appends the encoded record to `to`.
    ///
    /// # Errors
    /// Fails if it cannot be represented in this encoding.
    fn write(datum: &Self, encoding: Encoding, to: &mut Vec<u8>) -> Result<()>;
}

impl<T: Serialize + ?Sized> OutputPorts for T {
    const PORTS: &'static [&'static str] = &["out"];

    fn port(_datum: &Self) -> usize {
        0
    }

    fn write(datum: &Self, encoding: Encoding, to: &mut Vec<u8>) -> Result<()> {
        encoding.encode(datum, to)
    }
}
