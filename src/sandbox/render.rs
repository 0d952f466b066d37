//! Users and sessions as the real API writes them, with every field it knows.
//!
//! Addresses, numbers and names come from the ranges set aside for documentation.

use super::draw::Draw;
use super::json::{Object, array};
use super::users::User;
use super::world::{MINUTE, Millis, Session, SessionState};

const GIVEN: &[&str] = &[
    "Ada", "Bao", "Chloe", "Dmitri", "Elif", "Femi", "Grace", "Hiro", "Ines", "Jonas", "Kwame",
    "Lena",
];
const FAMILY: &[&str] = &[
    "Abel", "Berg", "Costa", "Diaz", "Eder", "Fox", "Garcia", "Haas", "Ito", "Jansen", "Kaya",
    "Lind",
];
const PLACES: &[&str] =
    &["New York (US)", "Berlin (DE)", "Tokyo (JP)", "Lagos (NG)", "Porto (PT)", "Pune (IN)"];
const NETWORKS: &[&str] = &["Wired", "Wifi", "PPP", "Cellular", "Others"];
const HEADSETS: &[&str] = &["Plantronics BT600", "Jabra Evolve2 65", "MacBook Pro Microphone"];
const CAMERAS: &[&str] = &["FaceTime HD Camera", "Logitech BRIO", "Integrated Webcam"];
const CENTERS: &[&str] = &["SC", "NY", "FRA", "TYO"];
const GRADES: &[&str] = &["good", "good", "good", "fair", "poor", "bad"];
const SHARES: &[&str] = &[
    "local_recording",
    "cloud_recording",
    "desktop",
    "application",
    "whiteboard",
    "airplay",
    "camera",
    "video_sdk",
];
/// device, os, os_version, client, browser_name, browser_version
const MACHINES: &[[&str; 6]] = &[
    ["Windows", "Windows", "11", "Windows Video SDK 2.2.0", "", ""],
    ["Windows", "Windows", "10", "Web Video SDK 2.2.0", "Chrome", "141"],
    ["Mac", "macOS", "15.1", "Web Video SDK 2.2.0", "Firefox", "133"],
    ["iOS", "iOS", "18.4", "iOS Video SDK 2.2.0", "", ""],
    ["Android", "Android", "15", "Android Video SDK 2.2.0", "", ""],
    ["Phone", "", "", "", "", ""],
    ["H.323/SIP", "", "", "", "", ""],
];

/// An entry of `users` in the plain list.
pub(super) fn user(out: &mut String, user: &User) {
    let mut object = Object::open(out);
    let mut draw = identity(&mut object, user);
    object.plain("participant_uuid", format_args!("{}", uuid(user)));
    if machine(user)[0] == "Phone" {
        let call = object.value("audio_call");
        array(call, &[draw.below(100)], |out, line| {
            let mut call = Object::open(out);
            call.plain("call_number", format_args!("120255501{line:02}"));
            call.text("call_type", "call-in");
            call.text("zoom_number", "12025550199");
            call.close();
        });
    }
    quality(&mut object, &mut draw);
    object.close();
}

/// An entry of `users` in the list with measurements, and the answer about one user.
pub(super) fn user_qos(out: &mut String, user: &User, at: Millis) {
    let mut object = Object::open(out);
    identity(&mut object, user);
    let until = user.leave.unwrap_or(at);
    // One measurement a minute, the last three of them.
    let minutes: Vec<Millis> =
        (1..=3).rev().filter_map(|ago| until.checked_sub(ago * MINUTE)).collect();
    let minutes: Vec<Millis> = minutes.into_iter().filter(|minute| *minute >= user.join).collect();
    array(object.value("user_qos"), &minutes, |out, minute| measurement(out, user, *minute));
    object.close();
}

/// An entry of `users` in the list of what was shared.
pub(super) fn user_sharing(out: &mut String, user: &User, at: Millis) {
    let mut draw = Draw::new(&[user.person, user.id, 0x54]);
    let mut object = Object::open(out);
    object.plain("id", format_args!("{}", user.id));
    name(&mut object, user);
    object.plain("user_key", format_args!("key-{:016x}", user.person));
    let until = user.leave.unwrap_or(at);
    let shares: Vec<u64> = (0..draw.below(3)).collect();
    array(object.value("details"), &shares, |out, _| {
        let start = user.join + draw.below((until - user.join).max(1));
        let mut share = Object::open(out);
        share.text("content", draw.pick(SHARES));
        share.time("start_time", start);
        share.time("end_time", (start + 5 * MINUTE).min(until));
        share.close();
    });
    object.close();
}

/// An entry of `sessions`; the detail adds its own fields to the same.
pub(super) fn session(out: &mut String, session: &Session, users: usize, at: Millis) {
    let mut object = Object::open(out);
    session_fields(&mut object, session, users, at);
    object.close();
}

/// One session, passcode included.
pub(super) fn session_detail(out: &mut String, session: &Session, users: usize, at: Millis) {
    let mut draw = Draw::new(&[session.key, 0xde]);
    let mut object = Object::open(out);
    session_fields(&mut object, session, users, at);
    object.number(
        "session_number",
        1_000_000_000 + i64::try_from(draw.below(1_000_000_000)).unwrap_or(0),
    );
    object.plain("passcode", format_args!("pass-{:08x}", draw.below(1 << 32)));
    object.time("created_at", session.start.saturating_sub(60 * MINUTE));
    let minutes = at.min(session.end).saturating_sub(session.start) / MINUTE;
    object.number("total_minutes", i64::try_from(minutes * users as u64).unwrap_or(i64::MAX));
    object.value("settings").push_str(
        r#"{"auto_recording":"none","global_dial_in_countries":["US"],"global_dial_in_numbers":[{"country":"US","country_name":"US","number":"+1 2025550199","type":"toll"}]}"#,
    );
    object.close();
}

fn session_fields(object: &mut Object<'_>, session: &Session, users: usize, at: Millis) {
    let state = session.state(at);
    let mut draw = Draw::new(&[session.key, 0x5e]);
    object.text("id", &session.id);
    object.text("session_name", &session.name);
    object.plain("session_key", format_args!("{}", session_key(session)));
    object.time("start_time", session.start);
    if state == SessionState::Past {
        object.time("end_time", session.end);
    }
    let seconds = at.min(session.end).saturating_sub(session.start) / 1_000;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    object.plain("duration", format_args!("{hours:02}:{minutes:02}:{:02}", seconds % 60));
    object.number("user_count", i64::try_from(users).unwrap_or(i64::MAX));
    object.flag("has_voip", true);
    object.flag("has_video", true);
    for flag in ["has_screen_share", "has_recording", "has_pstn", "has_session_summary"] {
        object.flag(flag, draw.below(2) == 0);
    }
    quality(object, &mut draw);
}

/// The `session_key` of a session.
pub(super) fn session_key(session: &Session) -> String {
    format!("skey-{:012x}", session.key >> 16)
}

fn identity(object: &mut Object<'_>, user: &User) -> Draw {
    let mut draw = Draw::new(&[user.person]);
    let [device, os, os_version, client, browser, browser_version] = machine(user);
    object.plain("id", format_args!("{}", user.id));
    name(object, user);
    object.text("device", device);
    object.text("client", client);
    object.text("os", os);
    object.text("os_version", os_version);
    object.text("browser_name", browser);
    object.text("browser_version", browser_version);
    object.plain("ip_address", format_args!("203.0.113.{}", 1 + draw.below(254)));
    object.text("location", draw.pick(PLACES));
    object.text("network_type", draw.pick(NETWORKS));
    let headset = draw.pick(HEADSETS);
    object.text("microphone", headset);
    object.text("speaker", headset);
    object.text("camera", draw.pick(CAMERAS));
    object.text("data_center", draw.pick(CENTERS));
    object.text("connection_type", if draw.below(4) == 0 { "SSL" } else { "UDP" });
    object.time("join_time", user.join);
    if let Some(leave) = user.leave {
        object.time("leave_time", leave);
    }
    object.plain("user_key", format_args!("key-{:016x}", user.person));
    object.flag("is_original_host", user.host);
    draw
}

fn name(object: &mut Object<'_>, user: &User) {
    if let Some(name) = &user.name {
        return object.text("name", name);
    }
    let mut draw = Draw::new(&[user.person, 0xa]);
    let (given, family) = (draw.pick(GIVEN), draw.pick(FAMILY));
    object.plain("name", format_args!("{given} {family}"));
}

fn machine(user: &User) -> [&'static str; 6] {
    let index = Draw::new(&[user.person, 0xd]).below(MACHINES.len() as u64);
    MACHINES.get(usize::try_from(index).unwrap_or(0)).copied().unwrap_or_default()
}

fn uuid(user: &User) -> String {
    let mut draw = Draw::new(&[user.person, user.id, 0x1d]);
    let (high, low) = (draw.next(), draw.next());
    let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xffff);
    format!("{a:08X}-{b:04X}-{c:04X}-{:04X}-{:012X}", low >> 48, low & 0xffff_ffff_ffff)
}

fn quality(object: &mut Object<'_>, draw: &mut Draw) {
    for field in ["audio_quality", "video_quality", "screen_share_quality"] {
        object.text(field, draw.pick(GRADES));
    }
}

fn measurement(out: &mut String, user: &User, minute: Millis) {
    const CHANNELS: [&str; 12] = [
        "audio_input",
        "audio_output",
        "audio_device_from_rwg",
        "audio_device_to_rwg",
        "video_input",
        "video_output",
        "video_device_from_rwg",
        "video_device_to_rwg",
        "as_input",
        "as_output",
        "as_device_from_rwg",
        "as_device_to_rwg",
    ];
    let mut draw = Draw::new(&[user.id, user.person, minute / MINUTE]);
    let mut object = Object::open(out);
    object.time("date_time", minute);
    for channel in CHANNELS {
        let mut values = Object::open(object.value(channel));
        values.plain("bitrate", format_args!("{} kbps", 20 + draw.below(900)));
        values.plain("latency", format_args!("{} ms", 5 + draw.below(200)));
        values.plain("jitter", format_args!("{} ms", draw.below(30)));
        values.plain("avg_loss", format_args!("{}.{}%", draw.below(2), draw.below(10)));
        values.plain("max_loss", format_args!("{}.{}%", 2 + draw.below(5), draw.below(10)));
        if !channel.starts_with("audio") {
            values.text("resolution", draw.pick(&["640*360", "1280*720", "1920*1080"]));
            values.plain("frame_rate", format_args!("{} fps", 10 + draw.below(20)));
        }
        values.close();
    }
    let mut wifi = Object::open(object.value("wifi_rssi"));
    for (field, rssi) in [("max_rssi", -40), ("avg_rssi", -48), ("min_rssi", -60)] {
        wifi.number(field, rssi);
    }
    wifi.text("rssi_unit", "dBm");
    wifi.close();
    let mut cpu = Object::open(object.value("cpu_usage"));
    for field in
        ["zoom_min_cpu_usage", "zoom_avg_cpu_usage", "zoom_max_cpu_usage", "system_max_cpu_usage"]
    {
        cpu.plain(field, format_args!("{}%", 1 + draw.below(60)));
    }
    cpu.close();
    object.close();
}

#[cfg(test)]
mod tests {
    use super::super::users;
    use super::super::world::{DAY, HOUR, World};
    use super::*;
    use serde_json::Value;

    const NOW: Millis = 20_000 * DAY + 13 * HOUR;

    fn all(render: impl Fn(&mut String, &User)) -> Vec<Value> {
        let mut out = String::new();
        array(&mut out, &users::listed(&World::new(1, 12, NOW).fixed(0), NOW), render);
        serde_json::from_str(&out).unwrap()
    }

    #[test]
    fn a_user_has_every_field_of_the_specification() {
        let users = all(user);
        let fields = [
            "id",
            "name",
            "device",
            "ip_address",
            "location",
            "network_type",
            "microphone",
            "speaker",
            "camera",
            "data_center",
            "connection_type",
            "join_time",
            "user_key",
            "participant_uuid",
            "client",
            "os",
            "os_version",
            "browser_name",
            "browser_version",
            "audio_quality",
            "video_quality",
            "screen_share_quality",
            "is_original_host",
        ];
        for user in &users {
            for field in fields {
                assert!(user.get(field).is_some(), "{field} missing in {user}");
            }
        }
        assert!(users.iter().any(|user| user.get("leave_time").is_some()));
        assert!(users.iter().any(|user| user.get("leave_time").is_none()));
        assert!(users.iter().any(|user| user["audio_call"][0]["call_type"] == "call-in"));
        assert_eq!(users.iter().filter(|user| user["is_original_host"] == true).count(), 1);
    }

    #[test]
    fn measurements_and_shares_lie_within_the_stay() {
        for user in all(|out, user| user_qos(out, user, NOW)) {
            let measured = user["user_qos"].as_array().unwrap();
            assert!(
                measured.iter().all(|one| one["date_time"].as_str() >= user["join_time"].as_str())
            );
            assert!(measured.iter().all(|one| one["as_device_to_rwg"]["frame_rate"].is_string()));
            assert!(measured.iter().all(|one| one["wifi_rssi"]["max_rssi"] == -40));
        }
        let sharing = all(|out, user| user_sharing(out, user, NOW));
        assert!(sharing.iter().any(|user| !user["details"].as_array().unwrap().is_empty()));
    }

    #[test]
    fn only_a_past_session_has_an_end() {
        let world = World::new(1, 12, NOW);
        let mut out = String::new();
        session_detail(&mut out, &world.fixed(4), 45, NOW);
        let past: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(past["duration"], "01:30:00");
        assert!(past["passcode"].is_string() && past["end_time"].is_string());
        out.clear();
        session(&mut out, &world.fixed(0), 1_042, NOW);
        let live: Value = serde_json::from_str(&out).unwrap();
        assert!(live.get("end_time").is_none() && live.get("passcode").is_none());
    }
}
