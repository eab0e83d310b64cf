//! Rewrites filters where jaq's operators differ from jq's: division, repeated texts, assignments, and the order in
//! which the sides of an operator run.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};

use crate::places::{SET, UPDATE};

/// The variable for the right side of an operator. A filter cannot name it.
const RIGHT: &str = "$!right";
/// Divides, or fails on division by zero. Defined together with jq's functions.
pub(crate) const DIVIDE: &str = "_divide";
/// The remainder, of integers.
pub(crate) const MODULO: &str = "_modulo";
/// Multiplies.
pub(crate) const TIMES: &str = "_times";
/// The last result, or null. Defined together with jq's functions.
const LAST: &str = "_last";

type T<'s> = Term<&'s str>;

/// Rewrites a filter so that its operators behave as in jq.
pub(crate) fn term(term: T<'_>) -> T<'_> {
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) => term,
        Term::Str(format, parts) => {
            let parts = parts.into_iter().map(|each| part(each, format.is_none()));
            text(format, parts.collect())
        }
        Term::Arr(inner) => Term::Arr(inner.map(boxed)),
        Term::Obj(members) => Term::Obj(
            members
                .into_iter()
                .map(|(key, value)| (self::term(key), value.map(self::term)))
                .collect(),
        ),
        Term::Neg(inner) => Term::Neg(boxed(inner)),
        Term::BinOp(left, op, right) => operator(boxed(left), op, boxed(right)),
        Term::Label(name, inner) => Term::Label(name, boxed(inner)),
        Term::Fold(name, over, pattern, args) => {
            let args = args.into_iter().map(self::term);
            let last = |(index, arg)| {
                if name == "reduce" && index == 1 && !has_one_result(&arg) {
                    Term::Call(LAST, vec![arg])
                } else {
                    arg
                }
            };
            let args = args.enumerate().map(last).collect();
            Term::Fold(name, boxed(over), self::pattern(pattern), args)
        }
        Term::TryCatch(tried, caught) => Term::TryCatch(boxed(tried), caught.map(boxed)),
        Term::IfThenElse(cases, other) => Term::IfThenElse(
            cases
                .into_iter()
                .map(|(when, then)| (self::term(when), self::term(then)))
                .collect(),
            other.map(boxed),
        ),
        Term::Def(defs, inner) => {
            Term::Def(defs.into_iter().map(definition).collect(), boxed(inner))
        }
        Term::Call(name, args) => Term::Call(name, args.into_iter().map(self::term).collect()),
        Term::Path(head, Path(parts)) => Term::Path(
            boxed(head),
            Path(
                parts
                    .into_iter()
                    .map(|(part, optional)| (path_part(part), optional))
                    .collect(),
            ),
        ),
    }
}

fn definition(def: Def<&str>) -> Def<&str> {
    Def {
        name: def.name,
        args: def.args,
        body: term(def.body),
    }
}

#[expect(clippy::boxed_local, reason = "the box is what the term has")]
fn boxed(inner: Box<T<'_>>) -> Box<T<'_>> {
    Box::new(term(*inner))
}

/// Rewrites a string with interpolated values. If several have more than one result, jq runs the last one first.
fn text<'s>(format: Option<&'s str>, mut parts: Vec<StrPart<&'s str, T<'s>>>) -> T<'s> {
    let is_many =
        |part: &StrPart<_, T<'_>>| matches!(part, StrPart::Term(inner) if !has_one_result(inner));
    let last = parts.iter().rposition(is_many);
    match last {
        Some(last) if parts[..last].iter().any(is_many) => {
            let right = Term::Str(format, parts.split_off(last));
            let left = Box::new(text(format, parts));
            right_first(left, Box::new(right), |left, right| {
                Term::BinOp(left, BinaryOp::Math(Math::Add), right)
            })
        }
        _ => Term::Str(format, parts),
    }
}

/// Rewrites a part of a string. Without a format, interpolated values are written as JSON.
fn part<'s>(part: StrPart<&'s str, T<'s>>, is_plain: bool) -> StrPart<&'s str, T<'s>> {
    match part {
        StrPart::Term(inner) if is_plain => {
            let text = Term::Call("tostring", Vec::new());
            let pipe = BinaryOp::Pipe(None);
            StrPart::Term(Term::BinOp(Box::new(term(inner)), pipe, Box::new(text)))
        }
        StrPart::Term(inner) => StrPart::Term(term(inner)),
        other => other,
    }
}

fn path_part(part: Part<T<'_>>) -> Part<T<'_>> {
    match part {
        Part::Index(at) => Part::Index(term(at)),
        Part::Range(from, to) => Part::Range(from.map(term), to.map(term)),
    }
}

fn pattern(from: Pattern<&str>) -> Pattern<&str> {
    match from {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(items) => Pattern::Arr(items.into_iter().map(pattern).collect()),
        Pattern::Obj(members) => Pattern::Obj(
            members
                .into_iter()
                .map(|(key, inner)| (term(key), pattern(inner)))
                .collect(),
        ),
    }
}

fn operator<'s>(left: Box<T<'s>>, op: BinaryOp<&'s str>, right: Box<T<'s>>) -> T<'s> {
    match op {
        BinaryOp::Math(math) if native(math).is_some() => {
            right_first(left, right, |left, right| calculate(*left, math, *right))
        }
        BinaryOp::Assign => Term::Call(SET, vec![*left, *right]),
        BinaryOp::Update => Term::Call(UPDATE, vec![*left, *right]),
        BinaryOp::UpdateMath(math) => {
            let update = calculate(Term::Id, math, Term::Var(RIGHT));
            bind(right, Term::Call(UPDATE, vec![*left, update]))
        }
        BinaryOp::UpdateAlt => {
            let right_side = Box::new(Term::Var(RIGHT));
            let update = Term::BinOp(Box::new(Term::Id), BinaryOp::Alt, right_side);
            bind(right, Term::Call(UPDATE, vec![*left, update]))
        }
        BinaryOp::Math(math) => right_first(left, right, |left, right| {
            Term::BinOp(left, BinaryOp::Math(math), right)
        }),
        BinaryOp::Cmp(cmp) => right_first(left, right, |left, right| {
            Term::BinOp(left, BinaryOp::Cmp(cmp), right)
        }),
        BinaryOp::Pipe(bound) => Term::BinOp(left, BinaryOp::Pipe(bound.map(pattern)), right),
        op => Term::BinOp(left, op, right),
    }
}

/// The function that replaces an operator.
fn native(math: Math) -> Option<&'static str> {
    match math {
        Math::Div => Some(DIVIDE),
        Math::Rem => Some(MODULO),
        Math::Mul => Some(TIMES),
        Math::Add | Math::Sub => None,
    }
}

fn calculate<'s>(left: T<'s>, math: Math, right: T<'s>) -> T<'s> {
    match native(math) {
        Some(function) => Term::Call(function, vec![left, right]),
        None => Term::BinOp(Box::new(left), BinaryOp::Math(math), Box::new(right)),
    }
}

/// jq runs the right side of an operator first, and the left side for each of its results.
fn right_first<'s>(
    left: Box<T<'s>>,
    right: Box<T<'s>>,
    apply: impl FnOnce(Box<T<'s>>, Box<T<'s>>) -> T<'s>,
) -> T<'s> {
    if has_one_result(&left) || has_one_result(&right) {
        return apply(left, right);
    }
    bind(right, apply(left, Box::new(Term::Var(RIGHT))))
}

fn bind<'s>(value: Box<T<'s>>, then: T<'s>) -> T<'s> {
    let pipe = BinaryOp::Pipe(Some(Pattern::Var(RIGHT)));
    Term::BinOp(value, pipe, Box::new(then))
}

/// Returns true if a term never has several results, so that the order does not matter.
fn has_one_result(term: &T<'_>) -> bool {
    match term {
        Term::Id | Term::Num(_) | Term::Arr(_) | Term::Var(_) => true,
        Term::Str(_, parts) => parts
            .iter()
            .all(|part| !matches!(part, StrPart::Term(inner) if !has_one_result(inner))),
        Term::Neg(inner) => has_one_result(inner),
        Term::BinOp(left, BinaryOp::Math(_) | BinaryOp::Cmp(_), right) => {
            has_one_result(left) && has_one_result(right)
        }
        Term::BinOp(left, BinaryOp::Pipe(_), right) => {
            has_one_result(left) && has_one_result(right)
        }
        Term::Obj(members) => members
            .iter()
            .all(|(key, value)| has_one_result(key) && value.as_ref().is_none_or(has_one_result)),
        Term::Call(name, args) => {
            *name == UPDATE
                || (*name == SET && args.last().is_some_and(has_one_result))
                || ([DIVIDE, MODULO, TIMES, "tostring"].contains(name)
                    && args.iter().all(has_one_result))
        }
        Term::Path(head, Path(parts)) => {
            has_one_result(head)
                && parts.iter().all(|(part, _)| match part {
                    Part::Index(at) => has_one_result(at),
                    Part::Range(from, to) => {
                        (from.is_some() || to.is_some())
                            && [from, to].into_iter().flatten().all(has_one_result)
                    }
                })
        }
        _ => false,
    }
}
