//! [`Config`]: the configuration of a split operator, and the check that its ports are bound.

use crate::ports::{OTHER, PORTS, Port};
use mosaik_datum::Criteria;
use mosaik_wasm_sdk::{Binding, OperatorConfig, Result, bail, ensure, parse_config};

/// The maximum number of routes.
const ROUTES_MAX: usize = 64;

/// The configuration.
#[derive(Debug, Clone, OperatorConfig)]
#[config(definitions = include_str!("../criteria.schema.json"))]
pub(crate) struct Config {
    /// Routes of records to ports, tried in this order.
    #[config(min = 1, max = ROUTES_MAX)]
    pub(crate) routes: Vec<Route>,
    /// Routes that a record takes: the first that matches, or all.
    #[config(name = "match", default = "first")]
    pub(crate) matching: Matching,
    /// Port for records that match no route.
    #[config(default = "other")]
    pub(crate) default: Port,
}

/// A route to an output port.
#[derive(Debug, Clone, OperatorConfig)]
pub(crate) struct Route {
    /// Output port.
    pub(crate) to: Port,
    /// Criteria of the records that take the route.
    #[config(serde, schema = r##"{"$ref":"#/$defs/criteria"}"##)]
    pub(crate) when: Criteria,
}

/// The number of routes that a record may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, OperatorConfig)]
pub(crate) enum Matching {
    /// The first one that matches.
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
    use mosaik_wasm_sdk::testing::{binding, documented};

    #[test]
    fn the_reference_is_generated() {
        documented::<Config>(env!("CARGO_MANIFEST_DIR"));
    }

    #[test]
    fn errors_say_what_and_where() {
        for (config, expected) in [
            ("{}", "config: missing key `routes`"),
            (r#"{"routes":[]}"#, "config.routes: must have 1 to 64 items"),
            (
                r#"{"routes":[{"to":"a"}]}"#,
                "config.routes[0]: missing key `when`",
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
                "config.match: unknown value `any`, expected `first`, `all`",
            ),
            (
                r#"{"routes":[{"to":"a","when":{},"from":"b"}]}"#,
                "config.routes[0].from: unknown key `from`",
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
        assert_eq!(error.reason(), "config.routes: must have 1 to 64 items");
    }
}
