//! Bounds the cost of compiling a component before it is compiled, because a compiler cannot be
//! interrupted.
//!
//! Compilation expands a component: one that is instantiated twice is compiled twice, and so is
//! everything that it instantiates. A chain of 30 components, each with two instances of the
//! previous one, takes 2 KiB and expands to more than any machine can hold. In addition, the
//! compile time of a function grows with the square of its size.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, Encoding, Parser, Payload,
};

use super::error::LoadError;

/// Maximum number of instances, functions between parts, and names of either, after expansion:
/// 100,000. A component linked from the shared libraries of a language runtime has several
/// thousand. Worst case: 1 s and about 10 MiB.
const PARTS_MAX: u64 = 100_000;
/// Maximum size of one function's code, in bytes: 512 KiB, several times the size of the
/// interpreter loops of language runtimes. Worst case: about 20 s.
const FUNCTION_BYTES_MAX: usize = 512 * 1024;

/// A component that is being read.
#[derive(Default)]
struct Scope {
    /// True for a module, in which nothing is instantiated.
    is_module: bool,
    /// Number of parts that each instantiation of it creates.
    parts: u64,
    /// The number of parts of each component in its index space.
    components: Vec<u64>,
}

impl Scope {
    fn add(&mut self, parts: u64) {
        self.parts = self.parts.saturating_add(parts);
    }

    /// Returns the number of parts of a component in this index space. The compiler reports an
    /// index that is out of range.
    fn component(&self, index: u32) -> u64 {
        self.components.get(index as usize).copied().unwrap_or(0)
    }
}

/// Checks that a component does not cost too much to compile.
pub(super) fn check_compile_cost(component: &[u8]) -> Result<(), LoadError> {
    let mut scopes: Vec<Scope> = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        // The compiler reports unreadable contents.
        let Ok(payload) = payload else { return Ok(()) };
        match payload {
            Payload::Version { encoding, .. } => scopes.push(Scope {
                is_module: encoding == Encoding::Module,
                ..Scope::default()
            }),
            Payload::End(_) => {
                let ended = scopes.pop().unwrap_or_default();
                if let (Some(outer), false) = (scopes.last_mut(), ended.is_module) {
                    outer.components.push(ended.parts);
                }
            }
            Payload::CodeSectionEntry(body) if body.range().len() > FUNCTION_BYTES_MAX => {
                return Err(LoadError::TooComplex(format!(
                    "a function of {} bytes, more than {FUNCTION_BYTES_MAX}",
                    body.range().len()
                )));
            }
            payload => {
                if let Err(refused) = measure(payload, &mut scopes) {
                    return refused.map_or(Ok(()), Err);
                }
            }
        }
        if scopes.last().is_some_and(|scope| scope.parts > PARTS_MAX) {
            return Err(LoadError::TooComplex(format!(
                "more than {PARTS_MAX} parts when it is expanded"
            )));
        }
    }
    Ok(())
}

/// `None` for a section that cannot be read, which is not an error of this check.
type Unreadable = Option<LoadError>;

/// Counts the definitions in a section of the innermost component.
fn measure(payload: Payload<'_>, scopes: &mut [Scope]) -> Result<(), Unreadable> {
    let unreadable = |_| None;
    let Some((scope, outer)) = scopes.split_last_mut() else {
        return Ok(());
    };
    match payload {
        Payload::InstanceSection(section) => scope.add(section.count().into()),
        Payload::ComponentCanonicalSection(section) => scope.add(section.count().into()),
        Payload::ComponentInstanceSection(section) => {
            for instance in section {
                scope.add(1);
                if let ComponentInstance::Instantiate {
                    component_index, ..
                } = instance.map_err(unreadable)?
                {
                    scope.add(scope.component(component_index));
                }
            }
        }
        Payload::ComponentAliasSection(section) => {
            for alias in section {
                scope.add(1);
                match alias.map_err(unreadable)? {
                    ComponentAlias::Outer {
                        kind: ComponentOuterAliasKind::Component,
                        count,
                        index,
                    } => {
                        let from = match count {
                            0 => Some(&*scope),
                            count => outer.iter().rev().nth(count as usize - 1),
                        };
                        let parts = from.map_or(0, |from| from.component(index));
                        scope.components.push(parts);
                    }
                    ComponentAlias::InstanceExport {
                        kind: ComponentExternalKind::Component,
                        ..
                    } => return Err(Some(handed_on())),
                    _ => {}
                }
            }
        }
        Payload::ComponentImportSection(section) => {
            for import in section {
                if let ComponentTypeRef::Component(_) = import.map_err(unreadable)?.ty {
                    return Err(Some(handed_on()));
                }
            }
        }
        Payload::ComponentExportSection(section) => {
            for export in section {
                let export = export.map_err(unreadable)?;
                if export.kind == ComponentExternalKind::Component {
                    scope.components.push(scope.component(export.index));
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Returns the error for a component passed between components: its instantiations cannot be
/// counted without performing them.
fn handed_on() -> LoadError {
    LoadError::TooComplex("components that are passed between components".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vetted(text: &str) -> Result<(), String> {
        let bytes = wat::parse_str(text).unwrap();
        check_compile_cost(&bytes).map_err(|error| error.to_string())
    }

    /// Returns nested components, each with two instances of the previous one.
    fn nested(levels: usize) -> String {
        let mut text =
            "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
        for level in 1..=levels {
            let two = format!("(instance (instantiate $c{}))", level - 1).repeat(2);
            text = format!("(component $c{level} {text} {two})");
        }
        format!("(component {text} (instance (instantiate $c{levels})))")
    }

    #[test]
    fn exponential_expansion_is_refused_before_it_happens() {
        assert_eq!(vetted(&nested(12)), Ok(()));
        let refused = vetted(&nested(40)).unwrap_err();
        assert_eq!(
            refused,
            "too complex to compile: more than 100000 parts when it is expanded"
        );
    }

    #[test]
    fn a_component_is_counted_under_every_name() {
        let inner = nested(15);
        let once = inner.replacen("(component", "(component $big", 1);
        for used in [
            "(instance (instantiate $big)) (instance (instantiate $big))",
            "(export $again \"big\" (component $big)) (instance (instantiate $big)) (instance (instantiate $again))",
            "(component $in (alias outer 1 $big (component $mine)) (instance (instantiate $mine)) (instance (instantiate $mine)))
             (instance (instantiate $in))",
        ] {
            let text = format!("(component {once} {used})");
            assert!(vetted(&text).unwrap_err().contains("parts"), "{used}");
        }
        assert_eq!(
            vetted(&format!("(component {once} (instance (instantiate $big)))")),
            Ok(())
        );
    }

    #[test]
    fn components_passed_between_components_are_refused() {
        for text in [
            "(component (import \"c\" (component)))",
            "(component (component $c (component $d) (export \"d\" (component $d))) (instance $i (instantiate $c))
                (alias export $i \"d\" (component)))",
        ] {
            assert!(vetted(text).unwrap_err().contains("passed between"), "{text}");
        }
    }

    #[test]
    fn oversized_functions_are_refused() {
        let of = |count| {
            let body = "(drop (i32.const 1))".repeat(count);
            vetted(&format!("(component (core module (func {body})))"))
        };
        assert_eq!(of(1000), Ok(()));
        assert!(
            of(FUNCTION_BYTES_MAX / 3 + 1)
                .unwrap_err()
                .contains("a function of")
        );
    }
}
