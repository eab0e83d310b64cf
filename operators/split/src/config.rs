//! [`Config`]: the configuration of a split operator, and the check that its ports are bound.

use crate::ports::{OTHER, PORTS, Port};
use mosaik_datum::Criteria;
use mosaik_wasm_sdk::{Binding, Result, bail, ensure, parse_config};

/// The maximum number of routes.
const ROUTES_MAX: usize = 64;

/// The configuration.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The routes, in the order in which they are tried.
    pub(crate) routes: Vec<Route>,
    /// The number of routes that a record may take.
    #[serde(default, rename = "match")]
    pub(crate) matching: Matching,
    /// The port for records that match no route.
    #[serde(default = "other")]
    pub(crate) default: Port,
}

fn other() -> Port {
    OTHER
}

/// A route to an output port.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// The port.
    pub(crate) to: Port,
    /// The criteria of the route.
    pub(crate) when: Criteria,
}

/// The number of routes that a record may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Matching {
    /// The first one that matches.
    #[default]
    First,
    /// All that match.
    All,
}

impl Config {
    /// Parses a configuration, and checks it against the bound ports: a route to an unbound port would lose records,
    /// and a bound port without a route would stay silent.
    pub(crate) fn parse(text: &str, outputs: &[Binding]) -> Result<Self> {
        let config: Self = parse_config(text)?;
        let routes = &config.routes;
        ensure!(
            !routes.is_empty(),
            "config.routes: name at least one, like {{to: a, when: {{symbol: ETH}}}}"
        );
        ensure!(
            routes.len() <= ROUTES_MAX,
            "config.routes: {} are more than {ROUTES_MAX}",
            routes.len()
        );
        let bound = |port: Port| outputs.iter().any(|output| output.port == port.name());
        for (index, route) in routes.iter().enumerate() {
            let port = route.to.name();
            ensure!(
                bound(route.to),
                "config.routes[{index}].to: no stream is bound to the port `{port}`"
            );
            let is_last = index + 1 == routes.len();
            if config.matching == Matching::First && route.when.is_everything() && !is_last {
                bail!(
                    "config.routes[{}]: never reached, because the previous route matches everything",
                    index + 1
                );
            }
        }
        let default = config.default;
        ensure!(
            default == OTHER || bound(default),
            "config.default: no stream is bound to the port `{}`",
            default.name()
        );
        for (number, name) in PORTS.iter().enumerate() {
            let port = Port(number);
            let leads = default == port || routes.iter().any(|route| route.to == port);
            ensure!(
                leads || !bound(port),
                "config.routes: no route leads to the port `{name}`, to which a stream is bound"
            );
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaik_wasm_sdk::testing::binding;

    #[test]
    fn errors_say_what_and_where() {
        for (config, expected) in [
            ("{}", "config: missing field `routes`"),
            (r#"{"routes":[]}"#, "config.routes: name at least one"),
            (
                r#"{"routes":[{"to":"a"}]}"#,
                "config.routes[0]: missing field `when`",
            ),
            (
                r#"{"routes":[{"to":"z","when":{}}]}"#,
                "config.routes[0].to: unknown port `z`; the ports are `a` to `p` and `other`",
            ),
            (
                r#"{"routes":[{"to":"a","when":{"x":1}},{"to":"c","when":{"x":2}}]}"#,
                "config.routes[1].to: no stream is bound to the port `c`",
            ),
            (
                r#"{"routes":[{"to":"a","when":{"x":1}}]}"#,
                "config.routes: no route leads to the port `b`, to which a stream is bound",
            ),
            (
                r#"{"routes":[{"to":"a","when":{}},{"to":"b","when":{"x":1}}]}"#,
                "config.routes[1]: never reached, because the previous route matches everything",
            ),
            (
                r#"{"routes":[{"to":"a","when":{"x":1}},{"to":"b","when":{"x":1}}],"default":"d"}"#,
                "config.default: no stream is bound to the port `d`",
            ),
            (
                r#"{"routes":[{"to":"a","when":{"price":{"above":1}}}]}"#,
                "config.routes[0].when.price: unknown field `above`, expected one of `gt`",
            ),
            (
                r#"{"routes":[{"to":"a","when":"x"}]}"#,
                "config.routes[0].when: invalid type: string \"x\", expected a mapping from fields to conditions",
            ),
            (
                r#"{"routes":[{"to":"a","when":{"x":1}}],"match":"any"}"#,
                "config.match: unknown variant `any`, expected `first` or `all`",
            ),
            (
                r#"{"routes":[{"to":"a","when":{},"from":"b"}]}"#,
                "config.routes[0].from: unknown field `from`",
            ),
        ] {
            let error = Config::parse(config, &[binding("a", "json"), binding("b", "json")]);
            let error = error.unwrap_err().into_reason();
            assert!(
                error.starts_with(expected),
                "{config}\n  gave {error}\n  not  {expected}"
            );
        }
        let route = r#"{"to":"a","when":{"x":1}}"#;
        let many = format!(r#"{{"routes":[{}]}}"#, [route; ROUTES_MAX + 1].join(","));
        let error = Config::parse(&many, &[binding("a", "json")]).unwrap_err();
        assert_eq!(error.reason(), "config.routes: 65 are more than 64");
    }
}
