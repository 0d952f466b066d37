//! Made-up answers of the operations that have no life of their own in the sandbox.
//!
//! They are plausible, deterministic, and carry the same kinds of secrets as the real ones
//! (stream keys, passcodes, download tokens), so that it shows when somebody stores them.

use serde_json::{Value, json};

use super::draw::{Draw, mix};
use super::json::iso;
use super::query::Query;
use super::world::{DAY, HOUR, Millis, Session};

/// What a made-up answer may look at.
#[derive(Debug)]
pub(super) struct Canned<'a> {
    pub(super) seed: u64,
    pub(super) now: Millis,
    pub(super) session: Option<&'a Session>,
    pub(super) item: Option<&'a str>,
    pub(super) query: &'a Query,
    pub(super) body: &'a Value,
}

const ROWS: u64 = 45;

impl Canned<'_> {
    fn rows(&self, row: impl Fn(u64, &mut Draw) -> Value) -> Vec<Value> {
        (0..ROWS).map(|index| row(index, &mut Draw::new(&[self.seed, index, 0xca]))).collect()
    }

    fn key(&self) -> u64 {
        self.session.map_or(self.seed, |session| session.key)
    }

    fn asked(&self, name: &str) -> &str {
        self.body.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn range(&self) -> (&str, &str) {
        (self.query.get("from").unwrap_or_default(), self.query.get("to").unwrap_or_default())
    }
}

pub(super) fn storage_locations(ask: &Canned<'_>) -> Value {
    let mut location = storage_location(ask);
    if let Some(fields) = location.as_object_mut() {
        fields.remove("verify_status");
        fields.insert("selected".to_owned(), Value::Bool(true));
    }
    json!([location])
}

pub(super) fn storage_location(ask: &Canned<'_>) -> Value {
    json!({
        "id": ask.item.unwrap_or("9lXuCXgOTIqocq81iotCdQ"),
        "name": "archive",
        "provider": "aws_s3",
        "s3": { "region": "us-east-2", "bucket": "sandbox", "authentication_mechanism": "aws_access_key" },
        "verify_status": "success",
    })
}

pub(super) fn recordings(ask: &Canned<'_>) -> Vec<Value> {
    ask.rows(|index, draw| {
        recording(draw.next(), &format!("recorded-{index}"), ask.now.saturating_sub(index * DAY))
    })
}

pub(super) fn session_recordings(ask: &Canned<'_>) -> Value {
    let start = ask.session.map_or(ask.now, |session| session.start);
    let mut answer = recording(ask.key(), ask.session.map_or("", |session| &session.id), start);
    let token = ask
        .query
        .get("include_fields")
        .is_some_and(|fields| fields.contains("download_access_token"));
    if let (true, Some(fields)) = (token, answer.as_object_mut()) {
        let ttl = ask.query.get("ttl").unwrap_or("604800");
        let token = format!("download.{:016x}.{ttl}", mix(&[ask.key(), ask.now]));
        fields.insert("download_access_token".to_owned(), Value::String(token));
    }
    answer
}

fn recording(key: u64, session: &str, start: Millis) -> Value {
    let file = format!("{:016x}", mix(&[key, 0xf1]));
    json!({
        "session_id": session,
        "session_name": format!("room-{:04x}", key & 0xffff),
        "session_key": format!("skey-{:012x}", key >> 16),
        "start_time": iso(start),
        "duration": 42,
        "total_size": 3_328_371,
        "recording_count": 1,
        "recording_files": [{
            "id": file,
            "recording_start": iso(start),
            "recording_end": iso(start + HOUR),
            "file_type": "MP4",
            "file_extension": "MP4",
            "file_size": 3_328_371,
            "download_url": format!("https://example.com/rec/download/{file}"),
            "status": "completed",
            "recording_type": "shared_screen_with_speaker_view",
        }],
        "participant_audio_files": [],
        "participant_video_files": [],
    })
}

pub(super) fn created_session(ask: &Canned<'_>) -> Value {
    let key = mix(&[ask.seed, ask.now, 0xc5]);
    json!({
        "session_id": super::ids::of(ask.seed, u16::MAX - 1, key >> 16),
        "session_number": 1_000_000_000 + key % 1_000_000_000,
        "session_name": ask.asked("session_name"),
        "session_password": ask.asked("session_password"),
        "passcode": format!("pass-{:08x}", key >> 32),
        "created_at": iso(ask.now),
        "settings": { "auto_recording": "none", "global_dial_in_countries": ["US"], "global_dial_in_numbers": [] },
    })
}

pub(super) fn livestream(ask: &Canned<'_>) -> Value {
    json!({
        "stream_url": "rtmp://live.example.com/app",
        "stream_key": format!("stream-{:016x}", mix(&[ask.key(), 0x57])),
        "page_url": "https://live.example.com/watch",
        "resolution": "720p",
    })
}

pub(super) fn sip_dialing(ask: &Canned<'_>) -> Value {
    json!({
        "sip_dialing": format!("{:011}.sandbox@zoomcrc.example.com", ask.key() % 100_000_000_000),
        "participant_identifier_code": format!("{:04}", ask.key() % 10_000),
        "expire_in": 7_200,
    })
}

pub(super) fn session_ingestions(ask: &Canned<'_>) -> Value {
    json!([{
        "stream_id": format!("{:016x}", mix(&[ask.key(), 0x51])),
        "rtmp_connection_status": 1,
        "rtmp_stream_push_status": 0,
    }])
}

pub(super) fn ingestions(ask: &Canned<'_>) -> Vec<Value> {
    ask.rows(|index, draw| stream(&format!("{:016x}", draw.next()), &format!("stream-{index}")))
}

pub(super) fn ingestion(ask: &Canned<'_>) -> Value {
    let made = format!("{:016x}", mix(&[ask.seed, ask.now, 0x51]));
    let name = ask.asked("stream_name");
    stream(ask.item.unwrap_or(&made), if name.is_empty() { "stream" } else { name })
}

fn stream(id: &str, name: &str) -> Value {
    json!({
        "stream_id": id,
        "stream_name": name,
        "stream_description": "",
        "stream_key": format!("stream-{id}"),
        "stream_url": "rtmp://ingest.example.com/live",
        "backup_stream_url": "rtmp://backup.example.com/live",
    })
}

pub(super) fn storage_report(ask: &Canned<'_>) -> Value {
    let (from, to) = ask.range();
    let day = |free: &str| json!({ "date": from, "usage": "1.5 GB", "plan_usage": "1 GB", "free_usage": free });
    json!({ "from": from, "to": to, "cloud_recording_storage": [day("0.5 GB")] })
}

pub(super) fn daily_report(ask: &Canned<'_>) -> Value {
    let today = iso(ask.now);
    let number = |name: &str, default: Option<&str>| {
        ask.query
            .get(name)
            .or(default)
            .and_then(|text| text.parse::<u32>().ok())
            .unwrap_or_default()
    };
    let (year, month) = (number("year", today.get(..4)), number("month", today.get(5..7)));
    let days = (1..=28u32).map(|day| {
        let sessions = 20 + u64::from(day) % 7;
        json!({
            "date": format!("{year:04}-{month:02}-{day:02}"),
            "sessions": sessions,
            "users": sessions * 31,
            "session_minutes": sessions * 900,
        })
    });
    json!({ "year": year, "month": month, "dates": days.collect::<Vec<_>>() })
}

pub(super) fn operation_logs(ask: &Canned<'_>) -> Vec<Value> {
    ask.rows(|index, _| {
        json!({
            "time": iso(ask.now.saturating_sub((index + 1) * HOUR)),
            "operator": "admin@example.com",
            "category_type": "account",
            "action": "Update",
            "operation_detail": format!("change {index}"),
        })
    })
}

pub(super) fn telephone(ask: &Canned<'_>) -> Vec<Value> {
    ask.rows(|index, draw| {
        let start = ask.now.saturating_sub((index + 1) * HOUR);
        json!({
            "session_id": super::ids::of(ask.seed, u16::MAX - 2, index),
            "phone_number": format!("120255501{:02}", draw.below(100)),
            "signaled_number": "12025550198",
            "start_time": iso(start),
            "end_time": iso(start + HOUR / 2),
            "duration": 30,
            "total": 0.9,
            "country_name": "United States",
            "call_in_number": "12025550199",
            "type": "call-in",
            "rate": 0.03,
        })
    })
}

pub(super) fn webhook_logs(ask: &Canned<'_>) -> Vec<Value> {
    ask.rows(|index, draw| {
        json!({
            "url": "https://hooks.example.com/zoom",
            "event": "session.user_joined",
            "subscription_id": "sandbox",
            "date_time": iso(ask.now.saturating_sub((index + 1) * HOUR)),
            "http_status": 500,
            "failed_reason_type": 1,
            "retry_num": draw.below(4),
            "trace_id": format!("{:016x}", draw.next()),
        })
    })
}
