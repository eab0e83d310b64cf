//! An operator that does what the SDK can do, for tests: orders and payments come by a port each, accounts are kept by
//! customer, what is paid without an order leaves by a port of its own. Some orders make it misbehave.

use mosaik_wasm_sdk::prelude::*;
use std::collections::BTreeMap;

/// The configuration.
#[derive(Debug, OperatorConfig)]
pub struct Config {
    /// Amounts below are refused.
    least: u32,
    /// Follows the sum.
    unit: Option<String>,
}

/// What a customer has ordered.
#[derive(Debug, Deserialize)]
pub struct Order {
    customer: String,
    amount: u32,
}

/// What a customer has paid.
#[derive(Debug, Deserialize)]
pub struct Payment {
    customer: String,
    paid: u32,
}

/// The input records, by port.
#[derive(Debug, InputPorts)]
pub enum Input {
    /// On the port `orders`.
    Orders(Order),
    /// On the port `payments`.
    Payments(Payment),
}

/// What a customer owes.
#[derive(Debug, Serialize)]
pub struct Balance {
    customer: String,
    owes: String,
}

/// The output records, by port.
#[derive(Debug, OutputPorts)]
pub enum Output {
    /// By the port `balances`.
    Balances(Balance),
    /// By the port `unknown`: who has paid without an order.
    #[port = "unknown"]
    Stranger(String),
}

/// The operator.
#[derive(Debug)]
pub struct Accounts {
    config: Config,
    by_customer: BTreeMap<String, i64>,
}

/// Version 1 kept a customer's balance as text.
fn from_text(saved: &Saved<'_>) -> Result<i64> {
    Ok(saved.read::<String>()?.parse()?)
}

impl Accounts {
    fn balance(&self, customer: String, owes: i64) -> Output {
        let unit = self.config.unit.as_deref().unwrap_or_default();
        Output::Balances(Balance {
            customer,
            owes: format!("{owes}{unit}"),
        })
    }
}

/// Some customers make the operator fail, as their names say.
fn misbehave(customer: &str, amount: u32) {
    match customer {
        "panic" => panic!("asked to panic at {amount}"),
        "loop" => {
            let mut turns = 0_u64;
            loop {
                turns = std::hint::black_box(turns.wrapping_add(1));
            }
        }
        "hog" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        // An order that takes some CPU time, in ms of a usual machine.
        "slow" => {
            let mut turns = 0_u64;
            while turns < u64::from(amount) * 500_000 {
                turns = std::hint::black_box(turns + 1);
            }
        }
        _ => {}
    }
}

#[operator(
    state = by_customer,
    keyed,
    version = 2,
    migrate = from_text
)]
impl Operator for Accounts {
    type Config = Config;
    type Input = Input;
    type Output = Output;

    fn open(config: Config) -> Result<Self> {
        Ok(Self {
            config,
            by_customer: BTreeMap::new(),
        })
    }

    fn process(&mut self, input: Input, out: &mut Out<'_, Output>) -> Result<()> {
        count("seen", 1);
        match input {
            Input::Orders(Order { customer, amount }) => {
                log!(debug, "{customer} orders {amount}");
                let least = self.config.least;
                ensure!(amount >= least, "an amount of {amount} is below {least}");
                misbehave(&customer, amount);
                let owes = self.by_customer.entry(customer.clone()).or_default();
                *owes += i64::from(amount);
                let owes = *owes;
                out.push(&self.balance(customer, owes))
            }
            Input::Payments(Payment { customer, paid }) => {
                let Some(owes) = self.by_customer.get_mut(&customer) else {
                    return out.push(&Output::Stranger(customer));
                };
                *owes -= i64::from(paid);
                let owes = *owes;
                out.push(&self.balance(customer, owes))
            }
        }
    }

    fn tick(&mut self, now: u64, out: &mut Out<'_, Output>) -> Result<()> {
        ensure!(now > 0, "the clock stands still");
        out.push(&Output::Stranger(format!(
            "{} customers",
            self.by_customer.len()
        )))
    }

    fn input_ended(&mut self, port: &str, _out: &mut Out<'_, Output>) -> Result<()> {
        log!("{port} ended");
        Ok(())
    }

    fn finish(&mut self, out: &mut Out<'_, Output>) -> Result<()> {
        let sum: i64 = self.by_customer.values().sum();
        out.push(&self.balance("all".to_owned(), sum))
    }
}
