//! The table itself, read strongly consistent in parts: what a snapshot is taken from.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tailrace::base::scan::{Page, Part, TableScan};
use tailrace::change::{Second, Text};
use tailrace::platform::aws::ServiceError;
use tailrace::platform::clock::sleep;

use crate::gate::Gate;
use crate::service::{Service, image};

/// Items in a page.
const PAGE: usize = 2;

/// The table, as one worker scans it.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) service: Arc<Service>,
    pub(crate) gate: Arc<Gate>,
}

#[async_trait]
impl TableScan for Scanned {
    async fn now(&self) -> Result<Second, ServiceError> {
        self.gate.pass().await;
        Ok(self.service.told_time())
    }

    async fn page(&self, part: Part, after: Option<&Text>) -> Result<Page, ServiceError> {
        self.gate.pass().await;
        sleep(Duration::from_millis(self.service.dice.below(3000))).await;
        let faults = self.service.state().faults;
        if self.service.dice.below(1000) < faults {
            self.service.trace.note("scan failed", part.number);
            return Err(ServiceError::Unavailable("500".into()));
        }
        let from: u64 = after.map_or(0, |after| after.as_str().parse().unwrap());
        let of_part = |key: &u64| key % u64::from(part.of) == u64::from(part.number);
        let state = self.service.state();
        let rest = state.items.range(from..).filter(|(key, _)| of_part(key));
        let found: Vec<(u64, u64)> = rest.take(PAGE).map(|(key, version)| (*key, *version)).collect();
        let next = (found.len() == PAGE).then(|| Text::from((found[PAGE - 1].0 + 1).to_string()));
        self.service.trace.note("scanned", format_args!("{found:?}"));
        let items = found.into_iter().map(|(key, version)| image(key, version)).collect();
        Ok(Page { items, next, at: self.service.told_time(), units: 1 })
    }
}
