//! Listings.

use super::{S3Store, error, second};
use crate::store::{ObjectInfo, StoreError};

/// The most keys of one page.
const PAGE: usize = 1000;

impl S3Store {
    pub(super) async fn list_objects(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectInfo>, StoreError> {
        let mut found = Vec::new();
        let mut token = None;
        while found.len() < limit {
            let most = i32::try_from((limit - found.len()).min(PAGE)).unwrap_or(i32::MAX);
            let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.key(prefix)).max_keys(most);
            let request = request.set_start_after(after.map(|after| self.key(after)));
            let page = request.set_continuation_token(token).send().await;
            let page = page.map_err(|error| error::of_read(prefix, &error))?;
            for object in page.contents.unwrap_or_default() {
                let Some(path) = object.key.as_deref().and_then(|key| key.strip_prefix(&self.prefix)) else { continue };
                let bytes = object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
                found.push(ObjectInfo { path: path.to_owned(), bytes, modified: object.last_modified.map(second) });
            }
            token = page.next_continuation_token;
            if token.is_none() {
                break;
            }
        }
        Ok(found)
    }

    pub(super) async fn list_prefixes(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let below = self.key(prefix);
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&below).delimiter("/");
            let page = request.set_continuation_token(token).send().await;
            let page = page.map_err(|error| error::of_read(prefix, &error))?;
            let folders = page.common_prefixes.unwrap_or_default();
            let names =
                folders.iter().filter_map(|folder| folder.prefix.as_deref()?.strip_prefix(&below)?.strip_suffix('/'));
            found.extend(names.map(str::to_owned));
            token = page.next_continuation_token;
            if token.is_none() {
                return Ok(found);
            }
        }
    }
}
