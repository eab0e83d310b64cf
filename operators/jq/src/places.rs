//! Assignments and deletions, by paths as jq has them: missing objects and arrays are created, arrays are padded with
//! null, and all places of a deletion are found before the first is deleted.

use jaq_core::box_iter::box_once;
use jaq_core::native::{Filter, v};
use jaq_core::{Bind, Cv, Error, Exn, RunPtr};
use jaq_json::{Map, Rc, Val};
use jaq_std::ValT as _;

use crate::compile::Data;

/// `_set(paths; $value)`: what `paths = value` is.
pub(crate) const SET: &str = "_set";
/// `_update(paths; filter)`: what `paths |= filter` is.
pub(crate) const UPDATE: &str = "_update";

/// The most elements that an array is padded to: 2 Mi.
const PADDED_MAX: usize = 2 << 20;

/// The native functions.
pub(crate) fn functions() -> [Filter<RunPtr<Data>>; 4] {
    [
        (SET, [Bind::Fun(()), Bind::Var(())].into(), |mut cv| {
            let new = cv.0.pop_var();
            box_once(update(cv, &mut |_| Ok(Some(new.clone()))))
        }),
        (UPDATE, [Bind::Fun(()), Bind::Fun(())].into(), |mut cv| {
            let (filter, context) = cv.0.pop_fun();
            box_once(update(cv, &mut |old| {
                filter.run((context.clone(), old)).next().transpose()
            }))
        }),
        ("_setpath", v(2), |mut cv| {
            let new = cv.0.pop_var();
            let path = cv.0.pop_var();
            let mut value = cv.1;
            let set = as_path(&path)
                .map_err(Exn::from)
                .and_then(|path| change(&mut value, path, &mut |_| Ok(Some(new.clone()))));
            box_once(set.map(|_| value))
        }),
        ("_delpaths", v(1), |mut cv| {
            let paths = cv.0.pop_var();
            let deleted = match &paths {
                Val::Arr(paths) => paths
                    .iter()
                    .map(|path| as_path(path).map(<[Val]>::to_vec))
                    .collect::<Result<_, _>>()
                    .and_then(|paths| delete(cv.1, paths)),
                other => Err(Error::typ(other.clone(), "array of paths")),
            };
            box_once(deleted.map_err(Exn::from))
        }),
    ]
}

fn as_path(path: &Val) -> Result<&[Val], Error<Val>> {
    match path {
        Val::Arr(keys) => Ok(keys),
        other => Err(Error::typ(other.clone(), "path (an array)")),
    }
}

/// What an update makes of the value at a place; `None` deletes the place.
type New<'f, 'a> = dyn FnMut(Val) -> Result<Option<Val>, Exn<'a, Val>> + 'f;

/// Updates the places of a function among the arguments; those without a new value are deleted at the end.
fn update<'a>(mut cv: Cv<'a, Data>, new: &mut New<'_, 'a>) -> Result<Val, Exn<'a, Val>> {
    let (places, context) = cv.0.pop_fun();
    // All paths first: the value is then not shared, and is changed in place.
    let mut paths = Vec::new();
    #[expect(
        clippy::default_trait_access,
        reason = "the type of paths is not public"
    )]
    let start = (cv.1.clone(), Default::default());
    for found in places.paths((context, start)) {
        let mut path: Vec<Val> = found?.1.iter().cloned().collect();
        path.reverse();
        paths.push(path);
    }
    let mut value = cv.1;
    let mut deleted = Vec::new();
    for path in paths {
        if !change(&mut value, &path, new)? {
            deleted.push(path);
        }
    }
    Ok(delete(value, deleted)?)
}

/// Changes the value at a path; gives whether there is a new one.
fn change<'a>(value: &mut Val, path: &[Val], new: &mut New<'_, 'a>) -> Result<bool, Exn<'a, Val>> {
    let Some((key, rest)) = path.split_first() else {
        let new = new(std::mem::take(value))?;
        let is_new = new.is_some();
        *value = new.unwrap_or_default();
        return Ok(is_new);
    };
    match (&mut *value, key) {
        (Val::Obj(members), Val::TStr(_)) => {
            let members = Rc::make_mut(members);
            if let Some(member) = members.get_mut(key) {
                return change(member, rest, new);
            }
            let mut member = Val::Null;
            let is_new = change(&mut member, rest, new)?;
            if is_new {
                members.insert(key.clone(), member);
            }
            Ok(is_new)
        }
        (Val::Null, Val::TStr(_)) => {
            let mut member = Val::Null;
            let is_new = change(&mut member, rest, new)?;
            if is_new {
                *value = Val::obj(Map::from_iter([(key.clone(), member)]));
            }
            Ok(is_new)
        }
        (Val::Arr(items), Val::Num(_)) => {
            let place = place(key, items.len());
            let items = Rc::make_mut(items);
            if let Some(item) = place.and_then(|place| items.get_mut(place)) {
                return change(item, rest, new);
            }
            let mut item = Val::Null;
            let is_new = change(&mut item, rest, new)?;
            if is_new {
                pad(items, place, item)?;
            }
            Ok(is_new)
        }
        (Val::Null, Val::Num(_)) => {
            let mut item = Val::Null;
            let is_new = change(&mut item, rest, new)?;
            if is_new {
                let mut items = Vec::new();
                pad(&mut items, place(key, 0), item)?;
                *value = items.into_iter().collect();
            }
            Ok(is_new)
        }
        (Val::Arr(items), Val::Obj(range)) => {
            let (start, end) = bounds(range, items.len())?;
            let mut slice: Val = items[start..end].iter().cloned().collect();
            let is_new = change(&mut slice, rest, new)?;
            if is_new {
                let slice = as_slice(slice)?;
                Rc::make_mut(items).splice(start..end, slice.iter().cloned());
            }
            Ok(is_new)
        }
        (Val::Null, Val::Obj(range)) => {
            bounds(range, 0)?;
            let mut slice = Val::Null;
            let is_new = change(&mut slice, rest, new)?;
            if is_new {
                *value = Val::Arr(as_slice(slice)?);
            }
            Ok(is_new)
        }
        (Val::TStr(_), Val::Obj(_)) => {
            Err(Error::str(format_args!("cannot update slices of a string")).into())
        }
        (other, key) => Err(Error::index(std::mem::take(other), key.clone()).into()),
    }
}

/// Where an index is in an array of this length, or behind its end; `None` if it is before the start.
fn place(index: &Val, len: usize) -> Option<usize> {
    #[expect(clippy::cast_possible_truncation, reason = "jq cuts indexes as well")]
    let index = index.as_f64().unwrap_or_default() as isize;
    if index < 0 {
        len.checked_sub(index.unsigned_abs())
    } else {
        Some(index.unsigned_abs())
    }
}

/// Puts an item behind the end of an array.
fn pad(items: &mut Vec<Val>, place: Option<usize>, item: Val) -> Result<(), Error<Val>> {
    let place =
        place.ok_or_else(|| Error::str(format_args!("out of bounds negative array index")))?;
    if place >= PADDED_MAX {
        return Err(Error::str(format_args!(
            "array index {place} is too large, at most {PADDED_MAX} elements are written"
        )));
    }
    items.resize(place, Val::Null);
    items.push(item);
    Ok(())
}

fn as_slice(slice: Val) -> Result<Rc<Vec<Val>>, Error<Val>> {
    match slice {
        Val::Arr(items) => Ok(items),
        other => Err(Error::str(format_args!(
            "a slice of an array can only be assigned another array, not {other}"
        ))),
    }
}

/// The start and the end of a slice, the start rounded down and the end up.
fn bounds(range: &Map, len: usize) -> Result<(usize, usize), Error<Val>> {
    let bound = |name: &str, default: f64| match range.get(&Val::utf8_str(name.to_owned())) {
        None | Some(Val::Null) => Ok(default),
        Some(number @ Val::Num(_)) => Ok(number.as_f64().unwrap_or_default()),
        Some(other) => Err(Error::typ(other.clone(), "bound of a slice")),
    };
    let all = len as f64;
    let within = |at: f64| (if at < 0.0 { at + all } else { at }).clamp(0.0, all);
    let start = within(bound("start", 0.0)?).floor();
    let end = within(bound("end", all)?).ceil().max(start);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "both are within the array"
    )]
    Ok((start as usize, end as usize))
}

/// Deletes all of these places.
fn delete(value: Val, mut paths: Vec<Vec<Val>>) -> Result<Val, Error<Val>> {
    paths.sort();
    match paths.first() {
        None => Ok(value),
        Some(path) if path.is_empty() => Ok(Val::Null),
        Some(_) => {
            let mut value = value;
            let paths: Vec<&[Val]> = paths.iter().map(Vec::as_slice).collect();
            delete_sorted(&mut value, &paths)?;
            Ok(value)
        }
    }
}

/// Deletes places by sorted paths, none of which is empty: those further down first.
fn delete_sorted(value: &mut Val, paths: &[&[Val]]) -> Result<(), Error<Val>> {
    let mut keys = Vec::new();
    for paths in paths.chunk_by(|one, other| one.first() == other.first()) {
        let Some((key, rest)) = paths.first().and_then(|path| path.split_first()) else {
            continue;
        };
        if rest.is_empty() {
            keys.push(key);
            continue;
        }
        if matches!(value, Val::Null) {
            continue;
        }
        let mut inner = jaq_core::ValT::index(value.clone(), key)?;
        if matches!(inner, Val::Null) {
            continue;
        }
        let rests: Vec<&[Val]> = paths.iter().map(|path| &path[1..]).collect();
        delete_sorted(&mut inner, &rests)?;
        change(value, std::slice::from_ref(key), &mut |_| {
            Ok(Some(inner.clone()))
        })
        .map_err(|error| {
            error
                .get_err()
                .unwrap_or_else(|_| Error::str(format_args!("cannot delete there")))
        })?;
    }
    delete_keys(value, &keys)
}

/// Deletes members or elements.
fn delete_keys(value: &mut Val, keys: &[&Val]) -> Result<(), Error<Val>> {
    match value {
        _ if keys.is_empty() => Ok(()),
        Val::Null => Ok(()),
        Val::Obj(members) => {
            let members = Rc::make_mut(members);
            for key in keys {
                if !matches!(key, Val::TStr(_)) {
                    return Err(Error::str(format_args!(
                        "cannot delete the field {key} of an object"
                    )));
                }
                members.shift_remove(*key);
            }
            Ok(())
        }
        Val::Arr(items) => {
            let mut deleted = vec![false; items.len()];
            for key in keys {
                let (start, end) = match key {
                    Val::Num(_) => match place(key, items.len()) {
                        Some(place) if place < items.len() => (place, place + 1),
                        _ => continue,
                    },
                    Val::Obj(range) => bounds(range, items.len())?,
                    other => {
                        return Err(Error::str(format_args!(
                            "cannot delete the element {other} of an array"
                        )));
                    }
                };
                deleted[start..end].fill(true);
            }
            let mut deleted = deleted.into_iter();
            Rc::make_mut(items).retain(|_| !deleted.next().unwrap_or_default());
            Ok(())
        }
        other => Err(Error::str(format_args!(
            "cannot delete fields from {other}"
        ))),
    }
}
