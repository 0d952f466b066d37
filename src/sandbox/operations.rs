//! The 38 operations of the Video SDK API, as data: what each is called, costs, asks and answers.
//!
//! Names are the `operationId`s of Zoom's specification; counters and faults use the same names.

use std::fmt;
use std::str::FromStr;

use http::Method;

use super::canned::{self, Canned};
use super::query::{Paging, Rule};

/// A rate-limit class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    /// `Light`.
    Light,
    /// `Medium`.
    Medium,
    /// `Heavy`: spends from the daily pool too.
    Heavy,
    /// `Resource-intensive`: counted by the minute, and from the daily pool.
    ResourceIntensive,
}

impl Label {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Light, Self::Medium, Self::Heavy, Self::ResourceIntensive];

    /// As `X-RateLimit-Category` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Light => "Light",
            Self::Medium => "Medium",
            Self::Heavy => "Heavy",
            Self::ResourceIntensive => "Resource-intensive",
        }
    }

    /// Whether it spends from the account's daily pool.
    pub fn daily(self) -> bool {
        matches!(self, Self::Heavy | Self::ResourceIntensive)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Label {
    type Err = &'static str;

    /// By the same names, in upper or lower case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|label| label.as_str().eq_ignore_ascii_case(text))
            .ok_or("a label is light, medium, heavy or resource-intensive")
    }
}

/// What an operation does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    /// A list of a session's users.
    Users(UserList),
    /// One user with measurements.
    UserQos,
    /// The account's sessions.
    Sessions,
    /// One session.
    SessionDetail,
    /// Ends a live session.
    EndSession,
    /// One made-up answer.
    Canned(fn(&Canned<'_>) -> serde_json::Value),
    /// A made-up list under this name.
    CannedList(&'static str, fn(&Canned<'_>) -> Vec<serde_json::Value>),
    /// No content.
    Nothing,
}

/// Which list of a session's users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserList {
    /// Who.
    Plain,
    /// With measurements.
    Qos,
    /// With what each shared.
    Sharing,
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) id: &'static str,
    pub(super) method: Method,
    /// `{sessionId}` may hold slashes, other parameters are one segment.
    pub(super) path: &'static str,
    pub(super) label: Label,
    pub(super) success: u16,
    pub(super) paging: Option<Paging>,
    pub(super) query: &'static [(&'static str, Rule)],
    pub(super) reply: Reply,
}

const PAGED: Option<Paging> = Some(Paging { default: 30, max: 300 });
const QOS_PAGED: Option<Paging> = Some(Paging { default: 1, max: 10 });
const LIVE_OR_PAST: (&str, Rule) = ("type", Rule::OneOf(&["live", "past"]));
const FROM: (&str, Rule) = ("from", Rule::Date { required: true });
const TO: (&str, Rule) = ("to", Rule::Date { required: true });
const MAYBE_FROM: (&str, Rule) = ("from", Rule::Date { required: false });
const MAYBE_TO: (&str, Rule) = ("to", Rule::Date { required: false });
const ACTION: (&str, Rule) = ("action", Rule::OneOf(&["trash", "delete"]));
const CATEGORIES: &[&str] = &[
    "all",
    "user",
    "user_settings",
    "account",
    "billing",
    "im",
    "recording",
    "phone_contacts",
    "webinar",
    "sub_account",
    "role",
    "zoom_rooms",
];
const QUERY_DATES: &[&str] = &["start_time", "end_time", "session_start_time", "session_end_time"];

macro_rules! operations {
    ($($id:ident $method:ident $path:literal $label:ident $success:literal $paging:expr, $query:expr, $reply:expr;)*) => {
        /// Every operation, in the order of Zoom's specification.
        pub(super) static OPERATIONS: &[Operation] = &[$(Operation {
            id: stringify!($id),
            method: Method::$method,
            path: $path,
            label: Label::$label,
            success: $success,
            paging: $paging,
            query: $query,
            reply: $reply,
        },)*];
    };
}

operations! {
    byosStorageSwitchPatch PATCH "/videosdk/settings/storage" Light 204 None, &[], Reply::Nothing;
    byosStorageGet GET "/videosdk/settings/storage/location" Light 200 None, &[], Reply::Canned(canned::storage_locations);
    byosStoragePost POST "/videosdk/settings/storage/location" Light 201 None, &[], Reply::Canned(canned::storage_location);
    byosStorageDetailGet GET "/videosdk/settings/storage/location/{storageLocationId}" Light 200 None, &[], Reply::Canned(canned::storage_location);
    byosStorageDetailDelete DELETE "/videosdk/settings/storage/location/{storageLocationId}" Light 204 None, &[], Reply::Nothing;
    byosStorageDetailPatch PATCH "/videosdk/settings/storage/location/{storageLocationId}" Light 204 None, &[], Reply::Nothing;
    recordingsList GET "/videosdk/recordings" Medium 200 PAGED, &[MAYBE_FROM, MAYBE_TO, ("trash", Rule::OneOf(&["false", "true"])), ("trash_type", Rule::Text)], Reply::CannedList("sessions", canned::recordings);
    recordingGet GET "/videosdk/sessions/{sessionId}/recordings" Light 200 None, &[("include_fields", Rule::Text), ("ttl", Rule::Number { min: 0, max: 604_800 })], Reply::Canned(canned::session_recordings);
    recordingDelete DELETE "/videosdk/sessions/{sessionId}/recordings" Light 204 None, &[ACTION], Reply::Nothing;
    recordingStatusUpdate PUT "/videosdk/sessions/{sessionId}/recordings/status" Light 204 None, &[], Reply::Nothing;
    recordingDeleteOne DELETE "/videosdk/sessions/{sessionId}/recordings/{recordingId}" Light 204 None, &[ACTION], Reply::Nothing;
    recordingStatusUpdateOne PUT "/videosdk/sessions/{sessionId}/recordings/{recordingId}/status" Light 204 None, &[], Reply::Nothing;
    sessions GET "/videosdk/sessions" ResourceIntensive 200 PAGED, &[LIVE_OR_PAST, FROM, TO, ("session_key", Rule::Text), ("session_name", Rule::Text)], Reply::Sessions;
    Createasession POST "/videosdk/sessions" Medium 201 None, &[], Reply::Canned(canned::created_session);
    sessionDetail GET "/videosdk/sessions/{sessionId}" Heavy 200 None, &[("type", Rule::OneOf(&["live", "past", "scheduled"]))], Reply::SessionDetail;
    sessionDelete DELETE "/videosdk/sessions/{sessionId}" Light 204 None, &[], Reply::Nothing;
    inSessionEventsControl PATCH "/videosdk/sessions/{sessionId}/events" Medium 202 None, &[], Reply::Nothing;
    getLiveStreamDetails GET "/videosdk/sessions/{sessionId}/livestream" Light 200 None, &[], Reply::Canned(canned::livestream);
    sessionLiveStreamUpdate PATCH "/videosdk/sessions/{sessionId}/livestream" Light 204 None, &[], Reply::Nothing;
    sessionLiveStreamStatusUpdate PATCH "/videosdk/sessions/{sessionId}/livestream/status" Light 204 None, &[], Reply::Nothing;
    updateSessionRtmsAppStatus PATCH "/videosdk/sessions/{sessionId}/rtms_app/status" Medium 204 None, &[], Reply::Nothing;
    GetASessionSIPURIWithPasscode POST "/videosdk/sessions/{sessionId}/sip_dialing" Light 201 None, &[], Reply::Canned(canned::sip_dialing);
    sessionStatus PUT "/videosdk/sessions/{sessionId}/status" Light 204 None, &[], Reply::EndSession;
    Listsessionstreamingingestions GET "/videosdk/sessions/{sessionId}/stream_ingestions" Medium 200 None, &[], Reply::Canned(canned::session_ingestions);
    sessionUsers GET "/videosdk/sessions/{sessionId}/users" Heavy 200 PAGED, &[LIVE_OR_PAST], Reply::Users(UserList::Plain);
    sessionUsersQOS GET "/videosdk/sessions/{sessionId}/users/qos" Heavy 200 QOS_PAGED, &[LIVE_OR_PAST], Reply::Users(UserList::Qos);
    sessionParticipantShare GET "/videosdk/sessions/{sessionId}/users/sharing" Heavy 200 PAGED, &[LIVE_OR_PAST], Reply::Users(UserList::Sharing);
    sessionUserQOS GET "/videosdk/sessions/{sessionId}/users/{userId}/qos" Heavy 200 None, &[LIVE_OR_PAST], Reply::UserQos;
    Liststreamingestions GET "/videosdk/stream_ingestions" Light 200 PAGED, &[], Reply::CannedList("stream_ingestions", canned::ingestions);
    Createastreamingestion POST "/videosdk/stream_ingestions" Light 201 None, &[], Reply::Canned(canned::ingestion);
    Getastreamingestion GET "/videosdk/stream_ingestions/{streamId}" Light 200 None, &[], Reply::Canned(canned::ingestion);
    Deleteastreamingestion DELETE "/videosdk/stream_ingestions/{streamId}" Light 204 None, &[], Reply::Nothing;
    Updateastreamingestion PATCH "/videosdk/stream_ingestions/{streamId}" Light 204 None, &[], Reply::Nothing;
    vsdkReportCloudRecording GET "/videosdk/report/cloud_recording" Heavy 200 None, &[FROM, TO], Reply::Canned(canned::storage_report);
    vsdkReportDaily GET "/videosdk/report/daily" Heavy 200 None, &[("year", Rule::Number { min: 2000, max: 2100 }), ("month", Rule::Number { min: 1, max: 12 })], Reply::Canned(canned::daily_report);
    vsdkReportOperationLogs GET "/videosdk/report/operationlogs" Heavy 200 PAGED, &[FROM, TO, ("category_type", Rule::OneOf(CATEGORIES))], Reply::CannedList("operation_logs", canned::operation_logs);
    vsdkReportTelephone GET "/videosdk/report/telephone" Heavy 200 PAGED, &[FROM, TO, ("type", Rule::OneOf(&["1", "2", "3"])), ("query_date_type", Rule::OneOf(QUERY_DATES))], Reply::CannedList("telephony_usage", canned::telephone);
    getWebhookLogs GET "/videosdk/report/webhook_logs" Medium 200 PAGED, &[MAYBE_FROM, MAYBE_TO, ("event", Rule::Text), ("type", Rule::OneOf(&["2", "1", "3"])), ("retry_num", Rule::MaybeOneOf(&["0", "1", "2", "3"]))], Reply::CannedList("webhook_logs", canned::webhook_logs);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_adds_up_to_the_totals_of_the_specification() {
        let labelled = |label| OPERATIONS.iter().filter(|op| op.label == label).count();
        let with = |method| OPERATIONS.iter().filter(|op| op.method == method).count();
        assert_eq!(OPERATIONS.len(), 38);
        assert_eq!(Label::ALL.map(labelled), [22, 6, 9, 1]);
        assert_eq!(
            [Method::GET, Method::PATCH, Method::DELETE, Method::POST, Method::PUT].map(with),
            [19, 7, 5, 4, 3]
        );
        assert_eq!(OPERATIONS.iter().filter(|op| op.paging.is_some()).count(), 9);
        let mut ids: Vec<_> = OPERATIONS.iter().map(|op| op.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 38);
    }

    #[test]
    fn only_heavy_and_resource_intensive_spend_from_the_day() {
        assert_eq!(Label::ALL.map(Label::daily), [false, false, true, true]);
    }
}
