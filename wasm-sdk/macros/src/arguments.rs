//! The arguments of `#[operator(…)]`.

use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitInt, Path, Result, Token};

/// The arguments of an operator, each at most once.
#[derive(Default)]
pub(crate) struct Arguments {
    /// `state` or `state = field`.
    pub(crate) state: Option<State>,
    /// `keyed`.
    pub(crate) keyed: Option<Ident>,
    /// `version = 2`.
    pub(crate) version: Option<LitInt>,
    /// `migrate = function`.
    pub(crate) migrate: Option<Path>,
}

/// The part of an operator that is saved and restored.
pub(crate) enum State {
    /// The operator itself. Contains the argument.
    Whole(Ident),
    /// One of its fields.
    Field(Ident),
}

const KNOWN: &str = "`state`, `state = field`, `keyed`, `version = 2` and `migrate = function`";

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            arguments.one(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        arguments.check()?;
        Ok(arguments)
    }
}

impl Arguments {
    fn one(&mut self, input: ParseStream<'_>) -> Result<()> {
        let name: Ident = input.parse()?;
        let value = |what: &str| {
            if input.peek(Token![=]) {
                input.parse::<Token![=]>().map(|_| ())
            } else {
                Err(Error::new_spanned(
                    &name,
                    format!("`{name}` needs a value: `{name} = {what}`"),
                ))
            }
        };
        let again = match name.to_string().as_str() {
            "state" => {
                let state = match input.parse::<Option<Token![=]>>()? {
                    Some(_) => State::Field(input.parse()?),
                    None => State::Whole(name.clone()),
                };
                self.state.replace(state).is_some()
            }
            "keyed" => self.keyed.replace(name.clone()).is_some(),
            "version" => {
                value("2")?;
                let version: LitInt = input.parse()?;
                if version.base10_parse::<u32>()? == 0 {
                    return Err(Error::new_spanned(
                        version,
                        "versions start at 1; 0 means that there is no state",
                    ));
                }
                self.version.replace(version).is_some()
            }
            "migrate" => {
                value("function")?;
                self.migrate.replace(input.parse()?).is_some()
            }
            _ => {
                return Err(Error::new_spanned(
                    &name,
                    format!("unknown argument `{name}`; the arguments are {KNOWN}"),
                ));
            }
        };
        if again {
            return Err(Error::new_spanned(
                &name,
                format!("duplicate argument `{name}`"),
            ));
        }
        Ok(())
    }

    /// Checks that state arguments are used together with a state.
    fn check(&self) -> Result<()> {
        match (&self.state, &self.keyed) {
            (None | Some(State::Whole(_)), Some(keyed)) => {
                return Err(Error::new_spanned(
                    keyed,
                    "`keyed` needs the map that holds the state: `state = field, keyed`",
                ));
            }
            (Some(_), _) => {}
            (None, None) => {
                if let Some(version) = &self.version {
                    return Err(Error::new_spanned(
                        version,
                        "`version` requires a state: `#[operator(state, version = …)]`",
                    ));
                }
                if let Some(migrate) = &self.migrate {
                    return Err(Error::new_spanned(
                        migrate,
                        "`migrate` requires a state: `#[operator(state, version = 2, migrate = …)]`",
                    ));
                }
            }
        }
        if let (Some(migrate), 1) = (&self.migrate, self.number()?) {
            return Err(Error::new_spanned(
                migrate,
                "there is no version before 1 to migrate from: `version = 2, migrate = …`",
            ));
        }
        Ok(())
    }

    /// The version of the state; 1 by default.
    fn number(&self) -> Result<u32> {
        self.version.as_ref().map_or(Ok(1), LitInt::base10_parse)
    }
}
