//! The output ports. They are fixed, because an operator names them before it receives its configuration.

use mosaik_wasm_sdk::{Mistakes, OperatorConfig, Shape};

/// The names of the ports, by number.
pub(crate) const PORTS: &[&str] = &[
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "other",
];

/// The default port for records that match no route.
pub(crate) const OTHER: Port = Port(PORTS.len() - 1);

/// An output port by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port(pub(crate) usize);

impl Port {
    pub(crate) fn name(self) -> &'static str {
        PORTS.get(self.0).copied().unwrap_or_default()
    }
}

impl OperatorConfig for Port {
    const SHAPE: &'static Shape = &Shape::Words(PORTS);

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let name = String::read(text, mistakes)?;
        let port = PORTS.iter().position(|port| *port == name);
        if port.is_none() {
            mistakes.add(format_args!(
                "unknown port `{name}`; the ports are `a` to `p` and `other`"
            ));
        }
        port.map(Self)
    }
}
