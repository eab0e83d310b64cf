//! The macro that declares a section of the manifest.

/// Declares a section: a struct, and its [`Declared`](super::Declared) implementation.
///
/// ```ignore
/// section! {
///     /// Delays between the attempts of a subscriber to connect.
///     #[derive(Debug, Clone, PartialEq)]
///     pub struct Backoff: "backoff" {
///         /// Longest delay.
///         pub max: Duration = duration(Duration::ZERO, MAX), default(Duration::from_mins(1)), retune;
///     }
/// }
/// ```
///
/// After the name of the section come, if any, `+ Default`, `+ differences`, `check(FUNCTION)` for values that do not
/// fit together, and `with FIELD: TYPE` for a section whose keys are part of this one.
///
/// A key consists of the field with its type, the [`Kind`](super::Kind) that reads it, and one of
/// - `default(VALUE)`,
/// - `unset("TEXT")` for an `Option` that is `None` without the key, where the text describes what applies then,
/// - `empty("TEXT")` for the type's own default, described by the text,
/// - `required`,
/// - `required_or(VALUE)`, where the value replaces a missing or invalid one, so that further mistakes are found.
///
/// The effect of a change follows: `keep`, `retune`, `swap`, `rewire`, or `restart("REASON")`. Without one, the effect
/// is that of the key that contains the section. `differences` compares the keys with an effect, except those that are
/// marked `in graph`, since their values are resolved there.
macro_rules! section {
    (
        $(#[doc = $doc:literal])+
        #[derive($($derive:ident),*)]
        $vis:vis struct $name:ident: $label:literal
        $(+ $extra:ident)*
        $(check($check:path))?
        $(with $part:ident: $part_type:ident)?
        {
            $(
                $(#[doc = $key_doc:literal])+
                $key_vis:vis $key:ident: $type:ty = $kind:expr, $mode:ident $(($argument:expr))?
                $(, $reload:ident $(($reason:literal))? $(in $place:ident)?)?;
            )*
        }
    ) => {
        $(#[doc = $doc])+
        #[derive($($derive),*)]
        $vis struct $name {
            $(
                $(#[doc = $key_doc])+
                $key_vis $key: $type,
            )*
            $(
                #[doc = concat!("The keys of [`", stringify!($part_type), "`].")]
                pub $part: $part_type,
            )?
        }

        impl $crate::declare::Declared for $name {
            const SECTION: &'static $crate::declare::Section =
                &$crate::declare::Section {
                    name: $label,
                    doc: concat!($($doc, "\n"),+),
                    keys: &[$(
                        $crate::declare::Key {
                            name: stringify!($key),
                            doc: concat!($($key_doc, "\n"),+),
                            shape: || $crate::declare::section!(@shape $mode $kind, $type),
                            presence: $crate::declare::section!(
                                @presence $mode $kind, $type $(, $argument)?
                            ),
                            reload: $crate::declare::section!(
                                @reload $($reload $(($reason))?)?
                            ),
                            in_graph: $crate::declare::section!(
                                @in_graph $($($place)?)?
                            ),
                        },
                    )*],
                    parts: &[$(<$part_type as $crate::declare::Declared>::SECTION)?],
                };

            fn read_keys(
                cx: &mut $crate::declare::Reader<'_>,
                fields: $crate::declare::Fields<'_>,
                faults: &mut $crate::declare::Faults,
            ) -> Option<Self> {
                // A section without keys uses none of these.
                let _ = (&cx, fields, &faults);
                $(
                    let $key = $crate::declare::take(
                        cx, fields, stringify!($key), || $kind, faults,
                    );
                )*
                $(
                    let $part = <$part_type as $crate::declare::Declared>::read_keys(
                        cx, fields, faults,
                    );
                )?
                Some(Self {
                    $($key: $crate::declare::section!(
                        @value $mode $key $(, $argument)?
                    ),)*
                    $($part: $part?,)?
                })
            }

            $(
                fn check(
                    &self,
                    cx: &mut $crate::declare::Reader<'_>,
                    fields: $crate::declare::Fields<'_>,
                ) {
                    $check(self, cx, fields);
                }
            )?

            fn shown(&self) -> Vec<(&'static str, String)> {
                let mut shown = Vec::new();
                shown.extend(None);
                $(
                    let value = $crate::declare::section!(
                        @show $mode $kind, self.$key
                    );
                    shown.extend(value.map(|value| (stringify!($key), value)));
                )*
                $(
                    shown.extend($crate::declare::Declared::shown(&self.$part));
                )?
                shown
            }
        }

        $crate::declare::section! {
            @extras [$($extra)*] $name {
                $($key, $kind, $mode $(($argument))? $(, $reload $(in $place)?)?;)*
            }
        }
    };

    (@extras [] $name:ident $keys:tt) => {};
    (@extras [$extra:ident $($more:ident)*] $name:ident $keys:tt) => {
        $crate::declare::section! { @extra $extra $name $keys }
        $crate::declare::section! { @extras [$($more)*] $name $keys }
    };

    (@shape unset $kind:expr, $type:ty) => {
        $crate::declare::shape_of_option(&$kind, std::marker::PhantomData::<$type>)
    };
    (@shape $mode:ident $kind:expr, $type:ty) => {
        $crate::declare::shape_of::<$type>(&$kind)
    };

    (@presence default $kind:expr, $type:ty, $argument:expr) => {
        $crate::declare::Presence::Default(|| {
            let default: $type = $argument;
            ($kind.show)(&default)
        })
    };
    (@presence unset $kind:expr, $type:ty, $argument:expr) => {
        $crate::declare::Presence::Unset($argument)
    };
    (@presence empty $kind:expr, $type:ty, $argument:expr) => {
        $crate::declare::Presence::Unset($argument)
    };
    (@presence required $kind:expr, $type:ty) => {
        $crate::declare::Presence::Required
    };

    (@value default $read:ident, $argument:expr) => { $read.unwrap_or_else(|| $argument) };
    (@value unset $read:ident, $argument:expr) => { $read };
    (@value empty $read:ident, $argument:expr) => { $read.unwrap_or_default() };
    (@presence required_or $kind:expr, $type:ty, $argument:expr) => {
        $crate::declare::Presence::Required
    };

    (@value required_or $read:ident, $argument:expr) => { $read.unwrap_or_else(|| $argument) };
    (@value required $read:ident) => { $read? };

    (@unread default $argument:expr) => { $argument };
    (@unread unset $argument:expr) => { None };
    (@unread empty $argument:expr) => { Default::default() };

    (@show unset $kind:expr, $value:expr) => {
        $value.as_ref().and_then(|value| ($kind.show)(value))
    };
    (@show $mode:ident $kind:expr, $value:expr) => { ($kind.show)(&$value) };

    (@reload) => { None };
    (@reload keep) => { Some($crate::declare::Reload::Keep) };
    (@reload retune) => { Some($crate::declare::Reload::Retune) };
    (@reload swap) => { Some($crate::declare::Reload::Swap) };
    (@reload rewire) => { Some($crate::declare::Reload::Rewire) };
    (@reload restart($reason:literal)) => {
        Some($crate::declare::Reload::Restart($reason))
    };

    (@in_graph) => { false };
    (@in_graph graph) => { true };

    (@extra Default $name:ident {
        $($key:ident, $kind:expr, $mode:ident $(($argument:expr))? $(, $reload:ident $(in $place:ident)?)?;)*
    }) => {
        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($key: $crate::declare::section!(@unread $mode $($argument)?),)*
                }
            }
        }
    };
    (@extra differences $name:ident {
        $($key:ident, $kind:expr, $mode:ident $(($argument:expr))? $(, $reload:ident $(in $place:ident)?)?;)*
    }) => {
        impl $name {
            /// Returns the keys with different values.
            pub(crate) fn differences(
                &self,
                new: &Self,
            ) -> Vec<$crate::declare::Difference> {
                let section = <Self as $crate::declare::Declared>::SECTION;
                let mut found = Vec::new();
                $(
                    $crate::declare::section!(
                        @compare section, found, self, new, $key, $mode, $kind $(, $reload $(in $place)?)?
                    );
                )*
                found
            }
        }
    };

    (@compare $section:ident, $found:ident, $old:ident, $new:ident, $key:ident, $mode:ident, $kind:expr) => {};
    (@compare $section:ident, $found:ident, $old:ident, $new:ident, $key:ident, $mode:ident, $kind:expr, $reload:ident in $place:ident) => {};
    (@compare $section:ident, $found:ident, $old:ident, $new:ident, $key:ident, $mode:ident, $kind:expr, $reload:ident) => {
        $found.extend($crate::declare::compare(
            $section,
            stringify!($key),
            &$kind,
            $crate::declare::section!(@optional $mode $old.$key),
            $crate::declare::section!(@optional $mode $new.$key),
        ));
    };

    (@optional unset $value:expr) => { $value.as_ref() };
    (@optional $mode:ident $value:expr) => { Some(&$value) };
}

pub(crate) use section;
