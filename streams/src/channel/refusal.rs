//! The reasons for which a producer ends a subscription, each as its own type.

use crate::net::CloseReason;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident),*) => {
        $(
            $(#[$doc])*
            ///
            /// Compares with the [`CloseReason`] of the same name.
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
            #[error("{}", CloseReason::$name)]
            pub struct $name;

            impl From<$name> for CloseReason {
                fn from(_: $name) -> Self {
                    Self::$name
                }
            }

            impl PartialEq<CloseReason> for $name {
                fn eq(&self, reason: &CloseReason) -> bool {
                    *reason == CloseReason::$name
                }
            }

            impl PartialEq<$name> for CloseReason {
                fn eq(&self, refusal: &$name) -> bool {
                    refusal == self
                }
            }
        )*
    };
}

refusals!(
    /// Code 10404: the stream does not exist on the node.
    StreamNotFound,
    /// Code 10403: the consumer does not meet the producer's requirements.
    NotAllowed,
    /// Code 10509: the producer has reached its maximum number of consumers.
    NoCapacity,
    /// Code 10413: the consumer did not keep up.
    TooSlow,
    /// Code 10415: the two sides declare different encodings or schemas for the stream.
    FormatMismatch
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_the_reason_of_its_name() {
        let reasons: [(CloseReason, u64); 4] = [
            (StreamNotFound.into(), 10404),
            (NotAllowed.into(), 10403),
            (NoCapacity.into(), 10509),
            (TooSlow.into(), 10413),
        ];
        assert!(reasons.iter().all(|(reason, code)| reason.code() == *code));
        let last = reasons[3].0;
        assert_eq!(last, TooSlow);
        assert_eq!(TooSlow, last);
        assert_ne!(last, NotAllowed);
        assert_eq!(NoCapacity.to_string(), "10509 NoCapacity");
    }
}
