//! What a run archived, as the folder that `TAILRACE_SIM_KEEP` names: for readers of another kind, or of another time.

use std::path::Path;
use std::sync::Arc;

use tailrace::change::Second;
use tailrace::platform::ids::Ids;
use tailrace::store::ObjectStore;
use tailrace::store::archive::{self, Modes};
use tailrace::store::memory::MemoryStore;

use crate::service::NOON;

fn folder() -> Option<String> {
    std::env::var("TAILRACE_SIM_KEEP").ok()
}

fn store(archive: &Arc<MemoryStore>) -> Arc<dyn ObjectStore> {
    Arc::<MemoryStore>::clone(archive)
}

/// Makes it an archive that commands open.
pub(crate) async fn begin(archive: &Arc<MemoryStore>) {
    if folder().is_some() {
        archive::init(&store(archive), Modes::default(), &Ids::seeded(1), Second(NOON)).await.unwrap();
    }
}

/// Writes every object.
pub(crate) async fn end(archive: &Arc<MemoryStore>) {
    let (Some(folder), store) = (folder(), store(archive)) else { return };
    for object in store.list("", None, None).await.unwrap() {
        let bytes = store.get(&object.path, None).await.unwrap().bytes;
        let path = Path::new(&folder).join(&object.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}
