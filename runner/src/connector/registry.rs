//! The connectors: one line each.

use super::{
    SinkConfig, SinkSettings, SourceConfig, SourceSettings, file, generate, stdin, stdout,
};
use crate::declare::{Declared, Kind, Shape, nested, one_of_these};

/// The sources by name.
fn sources() -> Vec<(&'static str, Kind<SourceConfig>)> {
    vec![
        source::<file::FileSource>("file"),
        source::<stdin::StdinSource>("stdin"),
        source::<generate::Generate>("generate"),
    ]
}

/// The sinks by name.
fn sinks() -> Vec<(&'static str, Kind<SinkConfig>)> {
    vec![
        sink::<file::FileSink>("file"),
        sink::<stdout::Stdout>("stdout"),
    ]
}

/// The source of a producer: a mapping with the name of a connector.
pub(crate) fn any_source() -> Kind<SourceConfig> {
    one_of_these(sources())
}

/// The sink of a consumer: a mapping with the name of a connector.
pub(crate) fn any_sink() -> Kind<SinkConfig> {
    one_of_these(sinks())
}

fn source<T: SourceSettings + Declared>(name: &'static str) -> (&'static str, Kind<SourceConfig>) {
    connector(name, SourceConfig::new::<T>)
}

fn sink<T: SinkSettings + Declared>(name: &'static str) -> (&'static str, Kind<SinkConfig>) {
    connector(name, SinkConfig::new::<T>)
}

fn connector<T: Declared + 'static, C: 'static>(
    name: &'static str,
    configure: fn(&'static str, T) -> C,
) -> (&'static str, Kind<C>) {
    let read = nested::<T>().read;
    let kind = Kind::new(Shape::Of(T::SECTION), move |cx, node, what| {
        Some(configure(name, read(cx, node, what)?))
    });
    (name, kind)
}
