//! Where an export goes, and what it needs.

use std::sync::Arc;

use aws_config::SdkConfig;

use crate::base::export::Exporting;
use crate::base::scan::DynamoTable;
use crate::failure::{Exit, Failure};
use crate::store::{self, Location};

/// A bucket, and a folder in it.
pub(super) type Place = (String, String);

/// The place that a user names for the files of an export.
pub(super) fn place(text: &str) -> Result<Place, Failure> {
    match Location::parse(text).map_err(|error| Failure { place: "--export".to_owned(), ..error.failure() })? {
        Location::S3 { bucket, prefix } => Ok((bucket, prefix)),
        Location::Local(_) => {
            let next = "write --export s3://BUCKET/PREFIX";
            Err(Failure::new(
                Exit::Usage,
                format!("{text:?} is no bucket, and DynamoDB exports to S3 alone"),
                "--export",
                next,
            ))
        }
    }
}

/// Exports `table` there; the files are read with the same credentials.
pub(super) fn exporting<'a>(table: &'a DynamoTable, (bucket, prefix): Place, aws: &SdkConfig) -> Exporting<'a> {
    let aws = aws.clone();
    let buckets = Arc::new(move |bucket: &str| {
        store::connect(&Location::S3 { bucket: bucket.to_owned(), prefix: String::new() }, &aws, None)
    });
    Exporting { table, bucket, prefix, buckets }
}

/// The lines that turn point-in-time recovery on.
pub(super) fn turn_on(table: &str) -> String {
    format!(
        "turn it on, or leave --export out, and run it again:\n  aws dynamodb update-continuous-backups --table-name \
         {table} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true\nor in Terraform, in its \
         aws_dynamodb_table:\n  point_in_time_recovery {{ enabled = true }}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_goes_to_a_bucket() {
        assert_eq!(place("s3://out/daily/").unwrap(), ("out".to_owned(), "daily".to_owned()));
        for text in ["out", "/tmp/out", "s3://", "gs://out"] {
            let failure = place(text).unwrap_err();
            assert_eq!((failure.exit, failure.place.as_str()), (Exit::Usage, "--export"), "{text}");
        }
    }
}
