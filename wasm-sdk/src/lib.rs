#![doc = include_str!("../README.md")]

mod config;
mod driver;
mod encoding;
mod error;
mod frames;
mod frames_operator;
pub mod host;
mod operator;
mod outputs;
mod plain;
mod ports;
mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
#[expect(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated from wit/operator.wit"
)]
pub mod bindings;
#[cfg(target_arch = "wasm32")]
mod guest;

pub use config::{Amount, Mistakes, NoConfig, OperatorConfig, OrderedMap, Shape, parse_config};
pub use driver::{ANSWER_LEN_MAX, Answer, Driver, Output, REASON_LEN_MAX, Rejected};
pub use encoding::{Bytes, Encoding};
pub use error::{Error, Result};
pub use frames::{Frames, MalformedFrames};
pub use frames_operator::{Binding, Description, Entry, FramesOperator, State};
pub use mosaik_wasm_sdk_macros::{InputPorts, OperatorConfig, OutputPorts, operator};
pub use operator::{Operator, Out, Typed};
pub use outputs::{Outcome, Outcomes, Outputs, PENDING_LEN_MAX};
pub use ports::{InputPorts, OutputPorts};
pub use state::{KeyedState, Saved};

/// The page of the book whose examples run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/operators.md")]
struct OperatorsPage;

/// The items that most operators need.
pub mod prelude {
    #[cfg(not(target_arch = "wasm32"))]
    pub use crate::testing;
    pub use crate::{
        Bytes, Error, InputPorts, Mistakes, NoConfig, Operator, OperatorConfig, Out, Outcome,
        OutputPorts, Result, Saved, bail, ensure,
        host::{self, CounterClass, count, count_as},
        log, operator,
    };
    pub use serde::{Deserialize, Serialize};
    pub use serde_json::json;
}

/// Targets of the macros of this crate. Not for direct use.
#[doc(hidden)]
pub mod private {
    pub use crate::config::{
        Absent, Key, Keys, Mapping, Object, Presence, Shape, document, document_len,
        read_with_serde, read_word,
    };
    pub use crate::state::{load, load_keyed, save, save_keyed};

    #[cfg(target_arch = "wasm32")]
    pub use crate::{bindings, guest::Component};
}

/// Makes a [`FramesOperator`] the operator of this crate. [`operator`](macro@operator) calls it automatically.
///
/// Use once per crate. Has no effect unless the crate is compiled to WebAssembly.
#[macro_export]
macro_rules! export {
    ($operator:ty) => {
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() -> $crate::Description = $crate::Driver::<$operator>::describe;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static DRIVER: ::std::cell::RefCell<$crate::Driver<$operator>> =
                    const { ::std::cell::RefCell::new($crate::Driver::new()) };
            }

            struct Exported;

            impl $crate::private::Component for Exported {
                type Operator = $operator;

                fn with<R>(call: impl FnOnce(&mut $crate::Driver<$operator>) -> R) -> R {
                    DRIVER.with_borrow_mut(call)
                }
            }

    $crate::private::bindings::export!(Exported with_types_in $crate::private::bindings);
        };
    };
}
