//! A sink whose progress is shown: items come in order of their keys' hashes, which are spread evenly, so the last
//! hash tells how much is done.

use async_trait::async_trait;

use crate::change::KeyHash;
use crate::replay::Sink;
use crate::replay::sink::{Item, LeftBehind, SinkError};

/// Steps of the whole.
pub(super) const STEPS: u64 = 100;

/// A sink, and who is told how many steps are done.
pub(super) struct Shown<'a> {
    pub(super) sink: &'a mut dyn Sink,
    pub(super) tell: &'a (dyn Fn(u64) + Sync),
}

#[async_trait]
impl Sink for Shown<'_> {
    async fn put(&mut self, items: Vec<Item>) -> Result<(), SinkError> {
        let last = items.last().map(|item| item.key_hash);
        self.sink.put(items).await?;
        if let Some(last) = last {
            (self.tell)(steps(last));
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), SinkError> {
        self.sink.finish().await?;
        (self.tell)(STEPS);
        Ok(())
    }

    fn left_behind(&self) -> Option<LeftBehind> {
        self.sink.left_behind()
    }
}

/// The share of the hashes up to this one.
fn steps(KeyHash([first, second, ..]): KeyHash) -> u64 {
    (u64::from(u16::from_be_bytes([first, second])) * STEPS) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Text;
    use std::sync::Mutex;

    struct Takes;

    #[async_trait]
    impl Sink for Takes {
        async fn put(&mut self, _: Vec<Item>) -> Result<(), SinkError> {
            Ok(())
        }
        async fn finish(&mut self) -> Result<(), SinkError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_hash_of_the_last_item_tells_how_much_is_done() {
        let item = |first: u8| Item {
            key_hash: KeyHash([first; 16]),
            pk: Text::default(),
            sk: None,
            image: Text::default(),
            digest: 0,
        };
        let told = Mutex::new(Vec::new());
        let tell = |steps| told.lock().unwrap().push(steps);
        let mut shown = Shown { sink: &mut Takes, tell: &tell };
        shown.put(vec![item(0), item(64)]).await.unwrap();
        shown.put(vec![item(65), item(255)]).await.unwrap();
        shown.put(Vec::new()).await.unwrap();
        shown.finish().await.unwrap();
        assert_eq!(*told.lock().unwrap(), [25, 99, 100]);
    }
}
