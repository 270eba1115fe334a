//! Exports through the AWS SDK.

use async_trait::async_trait;
use aws_sdk_dynamodb::primitives::DateTime;
use aws_sdk_dynamodb::types::{ExportDescription, ExportFormat, ExportStatus, ExportType, PointInTimeRecoveryStatus};

use super::{ExportState, TableExport};
use crate::base::scan::{DynamoTable, TableScan};
use crate::change::Second;
use crate::manifest::ExportOrder;
use crate::platform::aws::ServiceError;
use crate::platform::aws::answer::{Seen, ServiceTime};

#[async_trait]
impl TableExport for DynamoTable {
    async fn now(&self) -> Result<Second, ServiceError> {
        TableScan::now(self).await
    }

    async fn recoverable(&self) -> Result<bool, ServiceError> {
        let seen = Seen::default();
        let call = self.client.describe_continuous_backups().table_name(&self.table).customize();
        let answer = call.interceptor(ServiceTime(seen.clone())).send().await;
        let answer = answer.map_err(|error| ServiceError::of(&error, seen.at()))?;
        let backups = answer.continuous_backups_description();
        let recovery = backups.and_then(|backups| backups.point_in_time_recovery_description());
        let status = recovery.and_then(|recovery| recovery.point_in_time_recovery_status());
        Ok(status == Some(&PointInTimeRecoveryStatus::Enabled))
    }

    async fn order(&self, table_arn: &str, order: &ExportOrder) -> Result<String, ServiceError> {
        let seen = Seen::default();
        let asked = self
            .client
            .export_table_to_point_in_time()
            .table_arn(table_arn)
            .export_time(DateTime::from_secs(order.time.0))
            .client_token(&order.token)
            .s3_bucket(&order.bucket)
            .s3_prefix(&order.prefix)
            .export_format(ExportFormat::DynamodbJson)
            .export_type(ExportType::FullExport)
            .customize()
            .interceptor(ServiceTime(seen.clone()))
            .send()
            .await;
        let answer = asked.map_err(|error| ServiceError::of(&error, seen.at()))?;
        let arn = answer.export_description.and_then(|export| export.export_arn);
        arn.ok_or_else(|| ServiceError::Malformed("the answer names no export".to_owned()))
    }

    async fn state(&self, export_arn: &str) -> Result<ExportState, ServiceError> {
        let seen = Seen::default();
        let call = self.client.describe_export().export_arn(export_arn).customize();
        match call.interceptor(ServiceTime(seen.clone())).send().await {
            Ok(answer) => state(answer.export_description.unwrap_or_else(|| ExportDescription::builder().build())),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_export_not_found_exception()) => {
                Err(ServiceError::NotFound { at: seen.at() })
            }
            Err(error) => Err(ServiceError::of(&error, seen.at())),
        }
    }
}

fn state(export: ExportDescription) -> Result<ExportState, ServiceError> {
    let malformed = |what: &str| ServiceError::Malformed(format!("an export {what}"));
    match export.export_status {
        Some(ExportStatus::InProgress) => Ok(ExportState::Running),
        Some(ExportStatus::Failed) => {
            let parts = [export.failure_code, export.failure_message].into_iter().flatten().collect::<Vec<_>>();
            let reason = if parts.is_empty() { "the service says no reason".to_owned() } else { parts.join(": ") };
            Ok(ExportState::Failed { reason })
        }
        Some(ExportStatus::Completed) => {
            let manifest = export.export_manifest.ok_or_else(|| malformed("without a manifest"))?;
            Ok(ExportState::Done { manifest })
        }
        other => Err(malformed(&format!("whose status is {other:?}"))),
    }
}
