//! `producers` and `consumers`: the stages through which records enter and leave.

use super::{
    consumer_settings::ConsumerSettings,
    edge::{EdgeDecl, edge},
};
use crate::connector::{SinkConfig, SourceConfig, any_sink, any_source};
use crate::declare::{
    Entry, Guarded, Kind, Places, Reader, Span, Spanned, StageName, StreamName, read_located,
    section, stream_name,
};

section! {
    /// A producer: from outside to a stream.
    #[derive(Debug, Clone)]
    pub(crate) struct ProducerKeys: "producer" {
        /// Source of its records: `{file: {path: data/stocks.csv}}`.
        pub from: Guarded<SourceConfig> = guarded(any_source()), required, rewire in graph;
        /// Stream that it writes.
        pub to: Spanned<StreamName> = stream_name(), required, rewire in graph;
    }
}

section! {
    /// A consumer: from a stream to outside.
    #[derive(Debug, Clone)]
    pub(crate) struct ConsumerKeys: "consumer" with settings: ConsumerSettings {
        /// Input: a stream, or `{stream: …}`.
        pub from: EdgeDecl = edge(), required, rewire in graph;
        /// Destination of its records: `{stdout: {}}`.
        pub to: Guarded<SinkConfig> = guarded(any_sink()), required, rewire in graph;
    }
}

/// A producer as declared in the manifest.
#[derive(Debug, Clone)]
pub(crate) struct ProducerDecl {
    pub(crate) name: Spanned<StageName>,
    pub(crate) from: Guarded<SourceConfig>,
    pub(crate) to: Spanned<StreamName>,
    from_span: Span,
    places: Places,
}

impl ProducerDecl {
    /// Returns the location of the value of a connector's key, or of the connector.
    pub(crate) fn span_of(&self, key: &str) -> Span {
        self.key_span(key).unwrap_or(self.from_span)
    }

    /// Returns the location of the file's path, or of the connector.
    pub(crate) fn path_span(&self) -> Span {
        self.span_of("path")
    }

    /// Returns the location of the format or of the settings of `csv`, or of the file's path, or of the connector.
    pub(crate) fn format_span(&self) -> Span {
        let csv = || self.key_span("csv");
        let format = self.key_span("format").or_else(csv);
        format.unwrap_or_else(|| self.path_span())
    }

    fn key_span(&self, key: &str) -> Option<Span> {
        let connector = self.from.connector();
        self.places.value(&format!("from.{connector}.{key}"))
    }
}

/// A consumer as declared in the manifest.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerDecl {
    pub(crate) name: Spanned<StageName>,
    pub(crate) from: EdgeDecl,
    pub(crate) to: Guarded<SinkConfig>,
    pub(crate) settings: ConsumerSettings,
    to_span: Span,
    places: Places,
}

impl ConsumerDecl {
    /// Returns the location of the value of a connector's key, or of the connector.
    pub(crate) fn span_of(&self, key: &str) -> Span {
        self.key_span(key).unwrap_or(self.to_span)
    }

    /// Returns the location of the stream for records that are not written, or of the connector.
    pub(crate) fn on_error_span(&self) -> Span {
        self.places.value("on_error.to").unwrap_or(self.to_span)
    }

    /// Returns the location of the format or of the settings of `csv`, or of the connector.
    pub(crate) fn format_span(&self) -> Span {
        let csv = || self.key_span("csv");
        self.key_span("format").or_else(csv).unwrap_or(self.to_span)
    }

    fn key_span(&self, key: &str) -> Option<Span> {
        let connector = self.to.connector();
        self.places.value(&format!("to.{connector}.{key}"))
    }

    /// Returns the location of the file's path, or of the connector.
    pub(crate) fn path_span(&self) -> Span {
        self.span_of("path")
    }
}

/// Reads one producer.
pub(crate) fn read_producer(cx: &mut Reader<'_>, entry: &Entry) -> Option<ProducerDecl> {
    let name = cx.name(entry, "a producer", StageName::new);
    let keys = read_located::<ProducerKeys>(cx, &entry.node, &entry.key.text)?;
    Some(ProducerDecl {
        name: name?,
        from_span: keys.places.value("from").unwrap_or(entry.node.span),
        places: keys.places,
        from: keys.value.from,
        to: keys.value.to,
    })
}

/// Reads one consumer.
pub(crate) fn read_consumer(cx: &mut Reader<'_>, entry: &Entry) -> Option<ConsumerDecl> {
    let name = cx.name(entry, "a consumer", StageName::new);
    let keys = read_located::<ConsumerKeys>(cx, &entry.node, &entry.key.text)?;
    Some(ConsumerDecl {
        name: name?,
        from: keys.value.from,
        to: keys.value.to,
        settings: keys.value.settings,
        to_span: keys.places.value("to").unwrap_or(entry.node.span),
        places: keys.places,
    })
}

/// Marks values that contain text from the environment or from files.
fn guarded<T: 'static>(kind: Kind<T>) -> Kind<Guarded<T>> {
    let read = kind.read;
    Kind::new(kind.shape, move |cx, node, what| {
        cx.guarded(|cx| read(cx, node, what))
    })
}
