//! `--heartbeat-url`: somebody outside is told every minute that all is well, and raises the alarm when that stops.
//!
//! A page that is read from here cannot tell that the machine is gone. The address is a secret of its own (whoever
//! knows it can say that all is well), so no message holds more of it than its host.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::board::Board;
use crate::platform::clock::{sleep, wall};
use crate::platform::tasks;
use crate::platform::web::Page;

/// Between two pings.
const EVERY: Duration = Duration::from_secs(60);
/// Between two looks at a board that is not well, so that the first ping does not wait for a minute.
const LOOK: Duration = Duration::from_secs(1);

/// Pings; it ends when this is dropped.
#[derive(Debug)]
pub struct Pinging(JoinHandle<()>);

impl Drop for Pinging {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Calls `address` with GET once a minute, while every table of the board is healthy.
///
/// # Errors
/// What is wrong with the address.
pub fn ping(address: &str, board: Arc<Board>) -> Result<Pinging, &'static str> {
    Ok(Pinging(tasks::spawn(keep_telling(Page::at(address)?, board))))
}

async fn keep_telling(page: Page, board: Arc<Board>) {
    let (host, mut failing) = (page.host(), false);
    loop {
        if !board.healthy(wall()) {
            sleep(LOOK).await;
            continue;
        }
        let told = page.get().await;
        match &told {
            Err(why) if !failing => {
                tracing::warn!(host, why, "the heartbeat was not taken; it is sent again every minute");
            }
            Ok(()) if failing => tracing::info!(host, "the heartbeat is taken again"),
            _ => {}
        }
        failing = told.is_err();
        sleep(EVERY).await;
    }
}
