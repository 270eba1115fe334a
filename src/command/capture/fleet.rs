//! The tables that a process archives, looked for again and again: new ones that match are begun, ones that lost their
//! tag are left alone, and a region that cannot be listed changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_config::SdkConfig;

use super::selection::{Share, Tags, Wanted};
use crate::command::live;
use crate::command::table::TableName;
use crate::config::raw::SourceOptions;
use crate::config::{CaptureConfig, file::nearest};
use crate::failure::{Exit, Failure};
use crate::platform::aws;
use crate::platform::clock::{Instant, now};
use crate::shard::table;

/// A table's tags are asked for again after so long: these calls are few in a second for a whole account.
const TAGS_AGE: Duration = Duration::from_secs(600);

/// A table of the fleet: the source that it comes from, its region, its name.
pub(super) type Key = (usize, String, String);

/// One table to archive.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) key: Key,
    pub(super) name: TableName,
    pub(super) aws: SdkConfig,
    /// Found by a pattern or a tag: it may come and go.
    pub(super) looked_for: bool,
}

/// What one look showed.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Tables that are meant.
    pub(super) found: Vec<Found>,
    /// Tables that are there; what is running and not meant any more is among them.
    pub(super) listed: BTreeSet<Key>,
    /// What could not be looked at.
    pub(super) failures: Vec<Failure>,
}

/// Tables that one set of credentials sees.
#[derive(Debug)]
struct Source {
    /// Signs as this role: its ARN, and the external id that its owner asks for.
    role: Option<(String, Option<String>)>,
    regions: Vec<Option<String>>,
    include: Vec<Wanted>,
    exclude: Vec<Wanted>,
}

/// All sources.
#[derive(Debug)]
pub(super) struct Fleet {
    sources: Vec<Source>,
    share: Option<Share>,
    /// Greatest age of tags that were asked for; less for an endpoint that settles fast and so is no AWS.
    tags_age: Duration,
    settings: BTreeMap<(usize, Option<String>), SdkConfig>,
    tags: BTreeMap<Key, (Instant, Tags)>,
}

impl Source {
    fn of(options: &SourceOptions) -> Result<Self, Failure> {
        let wanted = |all: &[String]| all.iter().map(|text| text.parse()).collect::<Result<Vec<Wanted>, Failure>>();
        let regions = match options.regions.as_deref() {
            None | Some([]) => vec![None],
            Some(regions) => regions.iter().cloned().map(Some).collect(),
        };
        let role = options.role.clone().map(|role| (role, options.external_id.clone()));
        let (include, exclude) = (wanted(&options.include)?, wanted(&options.exclude)?);
        Ok(Self { role, regions, include, exclude })
    }

    /// The regions to look into, each with what is meant there.
    fn by_region(&self) -> BTreeMap<Option<String>, Vec<Wanted>> {
        let mut regions = BTreeMap::<Option<String>, Vec<Wanted>>::new();
        for wanted in &self.include {
            let written = wanted.region().map(|region| vec![Some(region.to_owned())]);
            for region in written.as_ref().unwrap_or(&self.regions) {
                regions.entry(region.clone()).or_default().push(wanted.clone());
            }
        }
        regions
    }

    /// Whether a listed table is meant, as far as its name tells; `None`: only its tags can.
    fn by_name(&self, wanted: &[Wanted], name: &str) -> Option<bool> {
        let (named, tagged) =
            (|all: &[Wanted]| takes(all, name, &Tags::new()), |all: &[Wanted]| all.iter().any(is_tag));
        if named(&self.exclude) {
            return Some(false);
        }
        let certain = !tagged(&self.exclude) && (named(wanted) || !tagged(wanted));
        certain.then(|| named(wanted))
    }
}

fn takes(all: &[Wanted], name: &str, tags: &Tags) -> bool {
    all.iter().any(|wanted| wanted.takes(name, tags))
}

const fn is_tag(wanted: &Wanted) -> bool {
    matches!(wanted, Wanted::Tagged(..))
}

impl Fleet {
    /// The tables that the configuration means.
    pub(super) fn of(config: &CaptureConfig, share: Option<Share>) -> Result<Self, Failure> {
        let plain = SourceOptions { include: config.tables.clone(), ..SourceOptions::default() };
        let plain = (!config.tables.is_empty()).then_some(&plain);
        let sources = plain.into_iter().chain(&config.sources).map(Source::of).collect::<Result<_, Failure>>()?;
        let tags_age = TAGS_AGE.min(config.settle * 5);
        Ok(Self { sources, share, tags_age, settings: BTreeMap::new(), tags: BTreeMap::new() })
    }

    /// Whether tables may come and go.
    pub(super) fn must_look(&self) -> bool {
        self.sources.iter().flat_map(|source| &source.include).any(Wanted::must_look)
    }

    /// Whether more than one table may be meant: one that is alone has the service's own supervisor.
    pub(super) fn many(&self) -> bool {
        self.must_look()
            || self.sources.iter().map(|source| source.include.len() * source.regions.len()).sum::<usize>() > 1
    }

    /// Looks at every source.
    pub(super) async fn look(&mut self) -> Look {
        let mut look = Look::default();
        for n in 0..self.sources.len() {
            for (region, wanted) in self.sources[n].by_region() {
                if let Err(failure) = self.look_into(n, region, &wanted, &mut look).await {
                    look.failures.push(failure);
                }
            }
        }
        let mut seen = BTreeSet::new();
        let mine = |(_, region, name): &Key| self.share.is_none_or(|share| share.has(region, name));
        look.found.retain(|found| mine(&found.key) && seen.insert(found.key.clone()));
        look
    }

    async fn look_into(
        &mut self,
        source: usize,
        region: Option<String>,
        wanted: &[Wanted],
        look: &mut Look,
    ) -> Result<(), Failure> {
        let aws = self.settings(source, region.clone()).await?;
        let here = aws.region().map(ToString::to_string).unwrap_or_default();
        let key = |name: &str| (source, here.clone(), name.to_owned());
        for named in wanted {
            let Wanted::Named(name) = named else { continue };
            let (key, name, aws) = (key(&name.name), name.clone(), aws.clone());
            look.found.push(Found { key, name, aws, looked_for: false });
        }
        if wanted.iter().any(Wanted::must_look) {
            for listed in table::list(&aws).await.map_err(|error| live::failure(&error, "--table"))? {
                if self.takes(source, &aws, &key(&listed), wanted).await? {
                    let region = region.clone();
                    let name = TableName { account: None, region, name: listed.clone(), table_id: None, arn: None };
                    look.found.push(Found { key: key(&listed), name, aws: aws.clone(), looked_for: true });
                }
                look.listed.insert(key(&listed));
            }
        }
        Ok(())
    }

    /// Whether a listed table is meant.
    async fn takes(&mut self, source: usize, aws: &SdkConfig, key: &Key, wanted: &[Wanted]) -> Result<bool, Failure> {
        if let Some(known) = self.sources[source].by_name(wanted, &key.2) {
            return Ok(known);
        }
        let tags = self.tags_of(aws, key).await?;
        Ok(takes(wanted, &key.2, &tags) && !takes(&self.sources[source].exclude, &key.2, &tags))
    }

    async fn tags_of(&mut self, aws: &SdkConfig, key: &Key) -> Result<Tags, Failure> {
        if let Some((_, tags)) = self.tags.get(key).filter(|(asked, _)| asked.elapsed() < self.tags_age) {
            return Ok(tags.clone());
        }
        let tags = table::tags(aws, &key.2).await.map_err(|error| live::failure(&error, &key.2))?;
        self.tags.insert(key.clone(), (now(), tags.clone()));
        Ok(tags)
    }

    /// The settings of a source in a region, loaded once.
    async fn settings(&mut self, source: usize, region: Option<String>) -> Result<SdkConfig, Failure> {
        let place = (source, region.clone());
        if let Some(config) = self.settings.get(&place) {
            return Ok(config.clone());
        }
        let own = aws::load(region).await;
        aws::check(&own).await?;
        let config = match &self.sources[source].role {
            None => own,
            Some((role, external_id)) => {
                let assumed = aws::assume(&own, role, external_id.as_deref()).await;
                aws::check(&assumed).await.map_err(|failure| Failure { place: role.clone(), ..failure })?;
                assumed
            }
        };
        self.settings.insert(place, config.clone());
        Ok(config)
    }

    /// What to say where nothing at all is meant by patterns and tags.
    pub(super) fn nothing(&self, look: &Look) -> Failure {
        let patterns = self.sources.iter().flat_map(|source| &source.include).map(ToString::to_string);
        let patterns: Vec<String> = patterns.collect();
        let names: Vec<&str> = look.listed.iter().map(|(_, _, name)| name.as_str()).collect();
        let near = patterns.first().and_then(|pattern| nearest(pattern, &names));
        let next = match (near, names.len()) {
            (Some(near), _) => format!("did you mean {near}?"),
            (None, 0) => "the region has no table: set AWS_REGION, or write REGION/PATTERN".to_owned(),
            (None, many) => {
                format!("none of the {many} tables there matches; `--worker` may leave them to another process")
            }
        };
        Failure::new(Exit::Usage, format!("no table matches {}", patterns.join(", ")), "--table", next)
    }
}
