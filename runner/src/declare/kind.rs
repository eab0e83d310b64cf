//! [`Kind`]: the values that a key allows, and how they are read and shown.

use std::marker::PhantomData;

use super::{Declared, Shape, read_section};
use crate::declare::{reader::Reader, tree::Node};

type Read<T> = Box<dyn Fn(&mut Reader<'_>, &Node, &str) -> Option<T>>;
type Show<T> = Box<dyn Fn(&T) -> Option<String>>;
type Parts<T> = Box<dyn Fn(&T) -> Vec<(&'static str, String)>>;

/// The values that a key allows.
pub(crate) struct Kind<T> {
    pub(crate) shape: Shape,
    /// Reads a value, or reports the mistake and returns `None`. The text is the name of the key, for messages.
    pub(crate) read: Read<T>,
    /// Returns a value as written in a manifest, if it has a short form.
    pub(crate) show: Show<T>,
    /// Returns the keys of a section and their values, as far as they can be shown; nothing for other values.
    pub(crate) parts: Parts<T>,
}

impl<T: 'static> Kind<T> {
    /// Creates a kind whose values are not shown.
    pub(crate) fn new(
        shape: Shape,
        read: impl Fn(&mut Reader<'_>, &Node, &str) -> Option<T> + 'static,
    ) -> Self {
        Self {
            shape,
            read: Box::new(read),
            show: Box::new(|_| None),
            parts: Box::new(|_| Vec::new()),
        }
    }

    /// Sets how values are shown.
    pub(crate) fn show(mut self, show: impl Fn(&T) -> String + 'static) -> Self {
        self.show = Box::new(move |value| Some(show(value)));
        self
    }

    /// Adds a condition that reports the values it rejects by returning `false`.
    pub(crate) fn when(
        self,
        allows: impl Fn(&mut Reader<'_>, &Node, &T) -> bool + 'static,
    ) -> Self {
        let read = self.read;
        Self {
            read: Box::new(move |cx, node, what| {
                read(cx, node, what).filter(|value| allows(cx, node, value))
            }),
            ..self
        }
    }
}

/// Returns the shape of a kind of this type.
pub(crate) fn shape_of<T>(kind: &Kind<T>) -> Shape {
    kind.shape.clone()
}

/// Returns the shape of a kind whose values are optional: `_` and `Option<_>`.
pub(crate) fn shape_of_option<T>(kind: &Kind<T>, _: PhantomData<Option<T>>) -> Shape {
    kind.shape.clone()
}

/// A list of values. Items with mistakes are left out.
pub(crate) fn list<T: 'static>(item: Kind<T>) -> Kind<Vec<T>> {
    let Kind {
        shape, read, show, ..
    } = item;
    let list = Kind::new(Shape::List(Box::new(shape)), move |cx, node, what| {
        cx.list(node, what, |cx, node| read(cx, node, what))
    });
    Kind {
        show: Box::new(move |values: &Vec<T>| {
            let items: Option<Vec<_>> = values.iter().map(&show).collect();
            Some(format!("[{}]", items?.join(", ")))
        }),
        ..list
    }
}

/// A section within another.
pub(crate) fn nested<T: Declared + 'static>() -> Kind<T> {
    let section = Kind::new(Shape::Of(T::SECTION), |cx, node, what| {
        read_section(cx, node, what).map(|(value, _)| value)
    });
    Kind {
        parts: Box::new(T::shown),
        ..section
    }
    .show(|value: &T| {
        let keys = value.shown().into_iter();
        let keys: Vec<_> = keys.map(|(key, value)| format!("{key}: {value}")).collect();
        format!("{{{}}}", keys.join(", "))
    })
}
