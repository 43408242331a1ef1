//! What the house has counted: `GET /api/v1/metrics`, in the text format of Prometheus.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderName, header::CONTENT_TYPE},
    routing::get,
};

use super::refusal::Refusal;
use crate::{metrics::Gauge, server::House, store};

/// As Prometheus asks for it.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn routes() -> Router<Arc<House>> {
    Router::new().route("/metrics", get(metrics))
}

type Text = ([(HeaderName, &'static str); 1], String);

async fn metrics(State(house): State<Arc<House>>) -> Result<Text, Refusal> {
    let read = house.store.read(|reader| reader.queue_length(None));
    let (_, queued): (u64, u64) = read.await.map_err(|error: store::Error| Refusal::from(error))?;
    let index = house.mail.index_state().await.unwrap_or_default();
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let gauges = [
        Gauge {
            name: "mailade_connections",
            help: "Connections that stand.",
            value: number(house.connections.open_now()),
        },
        Gauge {
            name: "mailade_input_memory_bytes",
            help: "Octets in all input buffers.",
            value: number(house.memory.used()),
        },
        Gauge {
            name: "mailade_mailbox_views",
            help: "Mailboxes whose messages are listed in memory.",
            value: number(house.mail.views_held()),
        },
        Gauge { name: "mailade_queue_messages", help: "Messages on their way out.", value: queued },
        Gauge {
            name: "mailade_fulltext_backlog_messages",
            help: "Messages that the full-text index has not taken in yet.",
            value: index.messages,
        },
        Gauge {
            name: "mailade_fulltext_backlog_bytes",
            help: "Their octets.",
            value: index.backlog,
        },
        Gauge {
            name: "mailade_fulltext_bytes",
            help: "Octets of the full-text index on the disk.",
            value: index.octets,
        },
    ];
    Ok(([(CONTENT_TYPE, TEXT)], house.metrics.text(&gauges)))
}
