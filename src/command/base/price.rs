//! What a snapshot reads and costs, as it is told before it begins.

use std::fmt;

use crate::config::BaseConfig;
use crate::config::unit::Dollars;
use crate::shard::table::TableFacts;

/// A million read request units of a table on demand cost 12.5 cents in us-east-1 (since November 2024).
const CENTS_PER_MILLION_TIMES_10: u64 = 125;
/// An export costs 10 cents for each GB of the table.
const CENTS_PER_GB: u64 = 10;

/// What is read, and what it costs.
pub(in crate::command) struct Price<'a> {
    items: i64,
    bytes: u64,
    way: Way<'a>,
}

enum Way<'a> {
    Scan { units_per_second: u32 },
    Export { place: &'a str },
}

impl<'a> Price<'a> {
    pub(in crate::command) fn of(facts: &TableFacts, config: &'a BaseConfig) -> Self {
        let way = match &config.export {
            Some(place) => Way::Export { place },
            None => Way::Scan { units_per_second: config.read_units },
        };
        Self { items: facts.items, bytes: u64::try_from(facts.bytes).unwrap_or_default(), way }
    }

    /// An estimate, by the list price of us-east-1.
    pub(in crate::command) fn dollars(&self) -> Dollars {
        Dollars(match self.way {
            Way::Scan { .. } => self.units().saturating_mul(CENTS_PER_MILLION_TIMES_10).div_ceil(10 * 1_000_000),
            Way::Export { .. } => self.bytes.saturating_mul(CENTS_PER_GB).div_ceil(1 << 30),
        })
    }

    /// One for each 4 KiB; half of that would be eventually consistent, and a scan is not.
    const fn units(&self) -> u64 {
        self.bytes.div_ceil(4096)
    }
}

impl fmt::Display for Price<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { items, bytes, way } = self;
        match way {
            Way::Scan { units_per_second } => {
                let units = self.units();
                let minutes = units.div_ceil(u64::from(*units_per_second).max(1)).div_ceil(60);
                writeln!(f, "the scan reads about {items} items, {bytes} bytes: {units} read units")?;
                writeln!(f, "  about {} on demand (an estimate, by the list price of us-east-1)", self.dollars())?;
                write!(
                    f,
                    "  about {} h {:02} min at {units_per_second} units a second (--read-units), and as many bytes of \
                     temporary files (--scratch)",
                    minutes / 60,
                    minutes % 60
                )
            }
            Way::Export { place } => {
                writeln!(f, "the service exports about {items} items, {bytes} bytes, and no read units are used")?;
                writeln!(f, "  about {} (an estimate, by the list price of us-east-1)", self.dollars())?;
                write!(
                    f,
                    "  its files stay in {place} until you remove them; reading them takes as many bytes of temporary \
                     files (--scratch)"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_is_told_in_units_money_and_time() {
        let price = |bytes| Price { items: 1, bytes, way: Way::Scan { units_per_second: 100 } };
        let text = price(50 << 30).to_string();
        assert!(
            text.contains("13107200 read units") && text.contains("about $1.64 ") && text.contains("36 h 25 min"),
            "{text}"
        );
        let text = price(1).to_string();
        assert!(
            text.contains("1 read units") && text.contains("about $0.01 ") && text.contains("0 h 01 min"),
            "{text}"
        );
    }

    #[test]
    fn an_export_is_told_in_money_and_in_what_it_leaves_behind() {
        let text = Price { items: 1, bytes: 50 << 30, way: Way::Export { place: "s3://out" } }.to_string();
        assert!(text.contains("about $5.00 ") && text.contains("stay in s3://out until"), "{text}");
    }
}
