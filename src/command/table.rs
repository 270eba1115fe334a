//! Tables as users name them, and the timelines of an archive that a name means.

use std::fmt;
use std::str::FromStr;

use crate::change::TableIdentity;
use crate::config::file::nearest;
use crate::failure::{Exit, Failure};
use crate::store::{ObjectStore, StoreError};

/// A table as written: `orders`, `region/orders`, `account/region/orders`, an ARN; `@TABLE_ID` picks one timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The account, if it was written.
    pub account: Option<String>,
    /// The region, if it was written.
    pub region: Option<String>,
    /// The table's name.
    pub name: String,
    /// The timeline, if it was written.
    pub table_id: Option<String>,
    /// The table's ARN, if it was written so.
    pub arn: Option<String>,
}

const FORMS: &str = "write orders, region/orders, account/region/orders or an ARN; add @TABLE_ID to pick one timeline";

impl FromStr for TableName {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let refuse = |what: &str| Failure::new(Exit::Usage, format!("no table is named so: {what}"), text, FORMS);
        let (path, table_id) = match text.split_once('@') {
            Some((path, id)) => (path, Some(id.to_owned())),
            None => (text, None),
        };
        let (account, region, name) = if path.starts_with("arn:") { arn(path) } else { parts(path) }
            .ok_or_else(|| refuse("it has neither the form of a name nor that of an ARN"))?;
        if !(3..=255).contains(&name.len()) || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) {
            return Err(refuse("a name has 3 to 255 letters, digits, dots, hyphens and underscores"));
        }
        let plain = |part: &String| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if ![&account, &region, &table_id].into_iter().flatten().all(plain) {
            return Err(refuse("account, region and table id have letters, digits and hyphens only"));
        }
        let arn = path.starts_with("arn:").then(|| path.split("/stream/").next().unwrap_or(path).to_owned());
        Ok(Self { account, region, name, table_id, arn })
    }
}

type Parts = (Option<String>, Option<String>, String);

/// `arn:PARTITION:dynamodb:REGION:ACCOUNT:table/NAME`, a stream's ARN too.
fn arn(text: &str) -> Option<Parts> {
    let mut fields = text.splitn(6, ':').skip(2);
    (fields.next()? == "dynamodb").then_some(())?;
    let (region, account) = (fields.next()?, fields.next()?);
    let name = fields.next()?.strip_prefix("table/")?.split('/').next()?;
    Some((Some(account.to_owned()), Some(region.to_owned()), name.to_owned()))
}

fn parts(text: &str) -> Option<Parts> {
    let own = |part: &str| Some(part.to_owned());
    match *text.split('/').collect::<Vec<_>>() {
        [name] => Some((None, None, name.to_owned())),
        [region, name] => Some((None, own(region), name.to_owned())),
        [account, region, name] => Some((own(account), own(region), name.to_owned())),
        _ => None,
    }
}

impl TableName {
    /// What the service is asked for: a table of another account is named by its ARN, and an ARN is not understood
    /// by every stand-in of the service.
    #[must_use]
    pub fn asked(&self) -> &str {
        self.arn.as_deref().unwrap_or(&self.name)
    }

    /// Whether this name may mean `table`.
    #[must_use]
    pub fn means(&self, table: &TableIdentity) -> bool {
        let fits = |asked: &Option<String>, is: &str| asked.as_ref().is_none_or(|asked| asked == is);
        self.name == table.name
            && fits(&self.account, &table.account)
            && fits(&self.region, &table.region)
            && fits(&self.table_id, &table.table_id)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.account, &self.region].into_iter().flatten() {
            write!(f, "{part}/")?;
        }
        f.write_str(&self.name)?;
        self.table_id.as_ref().map_or(Ok(()), |id| write!(f, "@{id}"))
    }
}

/// Every timeline of the archive, in order.
///
/// # Errors
/// What the store says.
pub async fn timelines(store: &dyn ObjectStore) -> Result<Vec<TableIdentity>, StoreError> {
    let mut folders = vec![(String::from("tables/"), Vec::<String>::new())];
    for _ in 0..4 {
        let mut below = Vec::new();
        for (prefix, path) in folders {
            for name in store.list_folders(&prefix).await? {
                let mut path = path.clone();
                path.push(name);
                below.push((format!("tables/{}/", path.join("/")), path));
            }
        }
        folders = below;
    }
    let identity = |path: Vec<String>| match <[String; 4]>::try_from(path) {
        Ok([account, region, name, table_id]) => Some(TableIdentity { account, region, name, table_id }),
        Err(_) => None,
    };
    Ok(folders.into_iter().filter_map(|(_, path)| identity(path)).collect())
}

/// The timelines among `all` that `name` may mean; at least one.
///
/// # Errors
/// Exit 18 with near names where there is none.
pub fn candidates(all: &[TableIdentity], name: &TableName, archive: &str) -> Result<Vec<TableIdentity>, Failure> {
    let found: Vec<TableIdentity> = all.iter().filter(|table| name.means(table)).cloned().collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let names: Vec<&str> = all.iter().map(|table| table.name.as_str()).collect();
    let next = match (nearest(&name.name, &names), all.iter().find(|table| table.name == name.name)) {
        (_, Some(same)) => format!("the archive has {same}"),
        (Some(near), None) => format!("did you mean {near}? `tailrace list` prints what is there"),
        (None, None) if all.is_empty() => "nothing is archived here yet: start `tailrace capture`".to_owned(),
        (None, None) => "`tailrace list` prints what is there".to_owned(),
    };
    Err(Failure::new(Exit::TableNotInArchive, format!("table {name} is not in this archive"), archive, next))
}

/// The failure for a name that means several timelines, each described by what it covers.
#[must_use]
pub fn ambiguous(name: &TableName, described: &[String]) -> Failure {
    let what = format!("table {name} has {} timelines", described.len());
    let next = format!("add @TABLE_ID to pick one of\n    {}", described.join("\n    "));
    Failure::new(Exit::Usage, what, "--table", next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(region: &str, name: &str, id: &str) -> TableIdentity {
        let own = str::to_owned;
        TableIdentity { account: own("111122223333"), region: own(region), name: own(name), table_id: own(id) }
    }

    #[test]
    fn every_form_of_a_name_is_read_and_written() {
        for text in ["orders", "eu-west-1/orders", "111122223333/eu-west-1/orders", "orders@0ab-12"] {
            assert_eq!(text.parse::<TableName>().unwrap().to_string(), text);
        }
        for arn in [
            "arn:aws:dynamodb:eu-west-1:111122223333:table/orders",
            "arn:aws-cn:dynamodb:eu-west-1:111122223333:table/orders/stream/2026-11-22T00:00:00.000",
        ] {
            assert_eq!(arn.parse::<TableName>().unwrap().to_string(), "111122223333/eu-west-1/orders");
        }
    }

    #[test]
    fn what_names_no_table_is_refused() {
        for text in
            ["", "ab", "a b c", "a/b/c/d", "orders@", "x/orders@../..", "arn:aws:s3:::bucket", "/orders", "../orders"]
        {
            assert_eq!(text.parse::<TableName>().unwrap_err().exit, Exit::Usage, "{text}");
        }
    }

    #[test]
    fn a_name_means_every_timeline_that_fits() {
        let all = [
            identity("eu-west-1", "orders", "1"),
            identity("eu-west-1", "orders", "2"),
            identity("us-east-1", "orders", "3"),
        ];
        let count = |text: &str| candidates(&all, &text.parse().unwrap(), "a").map(|found| found.len());
        assert_eq!(count("orders").unwrap(), 3);
        assert_eq!(count("eu-west-1/orders").unwrap(), 2);
        assert_eq!(count("orders@2").unwrap(), 1);
        let missing = count("order").unwrap_err();
        assert_eq!(missing.exit, Exit::TableNotInArchive);
        assert!(missing.next.contains("did you mean orders?"), "{missing:?}");
        assert!(
            count("ap-south-1/orders").unwrap_err().next.contains("the archive has 111122223333/eu-west-1/orders@1")
        );
    }
}
