//! The bare ceiling of MongoDB: how many events a second it takes of the documents that the processor writes, through the
//! same driver and in the same batches, with nothing else in the way.
//!
//! `MONGO_URI=… cargo run --release -p shared --features mongo,conformance --example mongo_ceiling [events] [batch] [lanes]`

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use shared::mongo::MongoConnection;
use shared::real_servers;
use shared::shipment_store::conformance::{CeilingPlan, ceiling_in_parts};
use shared::shipment_store::mongo::MongoStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let uri = std::env::var("MONGO_URI")?;
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u32>());
    let events = arguments.next().transpose()?.unwrap_or(200_000);
    let batch = arguments.next().transpose()?.unwrap_or(2_000);
    let lanes = arguments.next().transpose()?.unwrap_or(1).max(1);
    let connection = MongoConnection::open(&uri, &real_servers::unique_name("rastro_ceiling")).await?;
    let store = Arc::new(MongoStore::new(&connection));
    store.ensure_schema().await?;

    let start = Instant::now();
    let tasks: Vec<_> = (0..lanes)
        .map(|lane| {
            let first_number = u64::from(lane) * 1_000_000;
            let plan = CeilingPlan { shipments: 20_000 / lanes, events: events / lanes, batch, first_number };
            let store = store.clone();
            tokio::spawn(async move { ceiling_in_parts(&*store, plan).await })
        })
        .collect();
    let mut lines = String::new();
    for (lane, task) in tasks.into_iter().enumerate() {
        let taken = task.await??;
        let rate = f64::from(events / lanes) / taken.total.as_secs_f64();
        lines += &format!(
            "lane {lane}: {rate:.0} events/s (rows {:.2} s, states {:.2} s)\n",
            taken.rows.as_secs_f64(),
            taken.states.as_secs_f64()
        );
    }
    lines += &format!(
        "{events} events, batches of {batch}, {:.1} s with the making of the shipments\n",
        start.elapsed().as_secs_f64()
    );
    connection.drop_database().await?;
    std::io::stdout().write_all(lines.as_bytes())?;
    Ok(())
}
