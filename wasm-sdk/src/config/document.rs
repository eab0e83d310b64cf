//! Writes the JSON Schema of a configuration, at compile time.

use super::shape::{Key, Mapping, Presence, Shape};

/// Returns the length of [`document`].
pub const fn document_len(shape: &Shape) -> usize {
    let mut writer = Writer::<0>::new();
    writer.document(shape);
    writer.len
}

/// Returns the JSON Schema of a configuration. `LEN` must be [`document_len`].
pub const fn document<const LEN: usize>(shape: &Shape) -> [u8; LEN] {
    let mut writer = Writer::<LEN>::new();
    writer.document(shape);
    writer.bytes
}

/// Writes as much as fits, and counts everything.
struct Writer<const LEN: usize> {
    bytes: [u8; LEN],
    len: usize,
    last: u8,
}

impl<const LEN: usize> Writer<LEN> {
    const fn new() -> Self {
        Self {
            bytes: [0; LEN],
            len: 0,
            last: 0,
        }
    }

    const fn byte(&mut self, byte: u8) {
        if self.len < LEN {
            self.bytes[self.len] = byte;
        }
        self.len += 1;
        self.last = byte;
    }

    const fn text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut index = 0;
        while index < bytes.len() {
            self.byte(bytes[index]);
            index += 1;
        }
    }

    /// Writes JSON without its white space.
    const fn json(&mut self, json: &str) {
        let bytes = json.as_bytes();
        let (mut is_string, mut is_escaped) = (false, false);
        let mut index = 0;
        while index < bytes.len() {
            let byte = bytes[index];
            if byte == b'"' && !is_escaped {
                is_string = !is_string;
            }
            is_escaped = is_string && !is_escaped && byte == b'\\';
            if is_string || !byte.is_ascii_whitespace() {
                self.byte(byte);
            }
            index += 1;
        }
    }

    /// Writes a JSON string. The text has no control characters.
    const fn string(&mut self, text: &str) {
        self.byte(b'"');
        let bytes = text.as_bytes();
        let mut index = 0;
        while index < bytes.len() {
            if matches!(bytes[index], b'"' | b'\\') {
                self.byte(b'\\');
            }
            self.byte(bytes[index]);
            index += 1;
        }
        self.byte(b'"');
    }

    /// Writes the comma before a member or an item, unless it is the first.
    const fn next(&mut self) {
        if !matches!(self.last, b'{' | b'[') {
            self.byte(b',');
        }
    }

    const fn name(&mut self, name: &str) {
        self.next();
        self.string(name);
        self.byte(b':');
    }

    const fn number(&mut self, number: i64) {
        if number < 0 {
            self.byte(b'-');
        }
        let rest = number.unsigned_abs();
        let mut unit = 1;
        while rest / unit >= 10 {
            unit *= 10;
        }
        while unit > 0 {
            self.byte(b'0' + (rest / unit % 10) as u8);
            unit /= 10;
        }
    }

    const fn strings(&mut self, name: &str, texts: &[&str]) {
        self.name(name);
        self.byte(b'[');
        let mut index = 0;
        while index < texts.len() {
            self.next();
            self.string(texts[index]);
            index += 1;
        }
        self.byte(b']');
    }

    const fn bounds(&mut self, of: [&str; 2], min: Option<i64>, max: Option<i64>) {
        if let Some(min) = min {
            self.name(of[0]);
            self.number(min);
        }
        if let Some(max) = max {
            self.name(of[1]);
            self.number(max);
        }
    }

    const fn document(&mut self, shape: &Shape) {
        if let Shape::Json { schema, .. } = shape {
            self.json(schema);
            return;
        }
        self.byte(b'{');
        self.name("$schema");
        self.string("https://json-schema.org/draft/2020-12/schema");
        match shape {
            Shape::Mapping(mapping) => {
                self.mapping(
                    mapping,
                    !mapping.has_required() && mapping.one_of.is_empty(),
                );
                if !mapping.definitions.is_empty() {
                    self.name("$defs");
                    self.json(mapping.definitions);
                }
            }
            shape => self.shape(shape, None, None),
        }
        self.byte(b'}');
    }

    /// Writes a schema as an object.
    const fn object(&mut self, shape: &Shape, min: Option<i64>, max: Option<i64>) {
        self.byte(b'{');
        self.shape(shape, min, max);
        self.byte(b'}');
    }

    /// Writes the members of a schema.
    const fn shape(&mut self, shape: &Shape, min: Option<i64>, max: Option<i64>) {
        match shape {
            Shape::Any => {}
            Shape::Bool => self.kind("boolean"),
            Shape::Integer { min: own } => {
                self.kind("integer");
                let min = if min.is_some() { min } else { *own };
                self.bounds(["minimum", "maximum"], min, max);
            }
            Shape::Number => {
                self.kind("number");
                self.bounds(["minimum", "maximum"], min, max);
            }
            Shape::Text { limits, .. } => {
                self.kind("string");
                self.members(limits);
            }
            Shape::Words(words) => self.strings("enum", words),
            Shape::List(item) => {
                self.kind("array");
                self.bounds(["minItems", "maxItems"], min, max);
                self.name("items");
                self.object(item, None, None);
            }
            Shape::Map(value) => {
                self.kind("object");
                self.bounds(["minProperties", "maxProperties"], min, max);
                self.name("additionalProperties");
                self.object(value, None, None);
            }
            Shape::Mapping(mapping) => self.mapping(mapping, false),
            Shape::Either(shapes) => {
                self.name("anyOf");
                self.byte(b'[');
                let mut index = 0;
                while index < shapes.len() {
                    self.next();
                    self.object(shapes[index], min, max);
                    index += 1;
                }
                self.byte(b']');
            }
            Shape::Json { schema, .. } => self.members(inner(schema)),
        }
    }

    const fn kind(&mut self, kind: &str) {
        self.name("type");
        self.string(kind);
    }

    const fn members(&mut self, members: &str) {
        if !members.is_empty() {
            self.next();
            self.json(members);
        }
    }

    const fn mapping(&mut self, mapping: &Mapping, may_be_null: bool) {
        let Some(short) = mapping.short() else {
            if may_be_null {
                self.strings("type", &["object", "null"]);
            } else {
                self.kind("object");
            }
            self.keys(mapping);
            return;
        };
        if let Shape::Text { limits, .. } = short.shape {
            self.strings("type", &["string", "object"]);
            self.members(limits);
            self.keys(mapping);
            return;
        }
        self.name("anyOf");
        self.byte(b'[');
        self.object(short.shape, short.min, short.max);
        self.text(",{");
        self.kind("object");
        self.keys(mapping);
        self.text("}]");
    }

    const fn keys(&mut self, mapping: &Mapping) {
        self.rules(mapping);
        self.name("additionalProperties");
        self.text("false");
        self.name("properties");
        self.byte(b'{');
        let mut index = 0;
        while index < mapping.keys.len() {
            self.key(&mapping.keys[index]);
            index += 1;
        }
        self.byte(b'}');
    }

    /// Writes which keys must be present.
    const fn rules(&mut self, mapping: &Mapping) {
        if mapping.has_required() {
            self.name("required");
            self.byte(b'[');
            let mut index = 0;
            while index < mapping.keys.len() {
                if let Presence::Required = mapping.keys[index].presence {
                    self.next();
                    self.string(mapping.keys[index].name);
                }
                index += 1;
            }
            self.byte(b']');
        }
        if !mapping.one_of.is_empty() {
            self.name("oneOf");
            self.byte(b'[');
            let mut index = 0;
            while index < mapping.one_of.len() {
                self.next();
                self.byte(b'{');
                self.strings("required", &[mapping.one_of[index]]);
                self.byte(b'}');
                index += 1;
            }
            self.byte(b']');
        }
        if mapping.has_requirements() {
            self.name("dependentRequired");
            self.byte(b'{');
            let mut index = 0;
            while index < mapping.keys.len() {
                let key = &mapping.keys[index];
                if !key.requires.is_empty() {
                    self.strings(key.name, key.requires);
                }
                index += 1;
            }
            self.byte(b'}');
        }
        if mapping.has_conflicts() {
            self.name("dependentSchemas");
            self.byte(b'{');
            let mut index = 0;
            while index < mapping.keys.len() {
                self.conflicts(&mapping.keys[index]);
                index += 1;
            }
            self.byte(b'}');
        }
    }

    const fn conflicts(&mut self, key: &Key) {
        if key.conflicts.is_empty() {
            return;
        }
        self.name(key.name);
        self.text("{\"properties\":{");
        let mut index = 0;
        while index < key.conflicts.len() {
            self.name(key.conflicts[index]);
            self.text("false");
            index += 1;
        }
        self.text("}}");
    }

    const fn key(&mut self, key: &Key) {
        self.name(key.name);
        self.byte(b'{');
        if !key.doc.is_empty() {
            self.name("description");
            self.string(key.doc);
        }
        self.shape(key.shape, key.min, key.max);
        if let Presence::Default(default) = key.presence {
            self.name("default");
            self.json(default);
        }
        self.byte(b'}');
    }
}

impl Mapping {
    /// Returns the key whose value may stand for the mapping.
    const fn short(&self) -> Option<&'static Key> {
        match self.shorthand {
            [] => None,
            [first, ..] => self.key(first),
        }
    }

    const fn has_required(&self) -> bool {
        let mut index = 0;
        while index < self.keys.len() {
            if let Presence::Required = self.keys[index].presence {
                return true;
            }
            index += 1;
        }
        false
    }

    const fn has_conflicts(&self) -> bool {
        let mut index = 0;
        while index < self.keys.len() {
            if !self.keys[index].conflicts.is_empty() {
                return true;
            }
            index += 1;
        }
        false
    }

    const fn has_requirements(&self) -> bool {
        let mut index = 0;
        while index < self.keys.len() {
            if !self.keys[index].requires.is_empty() {
                return true;
            }
            index += 1;
        }
        false
    }
}

/// Returns the members of an object, without its braces.
const fn inner(object: &str) -> &str {
    let object = object.trim_ascii();
    let (_, rest) = object.split_at(1);
    rest.split_at(rest.len() - 1).0.trim_ascii()
}
