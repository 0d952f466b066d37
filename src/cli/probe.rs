//! `weir probe`: a health check for images without curl.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use tower::ServiceExt as _;

use super::run::{failed, runtime};
use super::{FAILURE, OK, complain};
use crate::upstream::{Options, UpstreamClient};

const PATIENCE: Duration = Duration::from_secs(3);

/// Asks once.
pub(super) fn probe(url: Uri) -> u8 {
    let runtime = match runtime(1) {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(ask(url)) {
        Ok(StatusCode::OK) => OK,
        Ok(status) => {
            complain(&format!("weir: answered {status}"));
            FAILURE
        }
        Err(error) => failed(&*error),
    }
}

async fn ask(url: Uri) -> Result<StatusCode, Box<dyn std::error::Error>> {
    let client = UpstreamClient::new(Options {
        connect_timeout: PATIENCE,
        first_byte_timeout: PATIENCE,
        total_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        http2_prior_knowledge: false,
    })?;
    let request = Request::get(url).body(Full::new(Bytes::new()))?;
    Ok(client.oneshot(request).await?.status())
}
