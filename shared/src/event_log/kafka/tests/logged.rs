//! A subscriber whose log lines a test can look at.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;

use crate::event_log::kafka::KafkaSubscriber;
use crate::event_log::{EventSubscriber, PartitionConsumer, SubscribeError};

/// What a thread logged.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// How often these words stand in what was logged.
    pub(super) fn count(&self, words: &str) -> usize {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).matches(words).count()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A subscriber whose log lines are kept.
pub(super) struct Logged(pub(super) KafkaSubscriber, pub(super) Lines);

impl EventSubscriber for Logged {
    fn run(self: Box<Self>, consumer: &dyn PartitionConsumer, stop: &CancellationToken) -> Result<(), SubscribeError> {
        let level = tracing::Level::DEBUG;
        let lines =
            tracing_subscriber::fmt().with_ansi(false).with_max_level(level).with_writer(self.1.clone()).finish();
        tracing::subscriber::with_default(lines, || Box::new(self.0).run(consumer, stop))
    }
}
