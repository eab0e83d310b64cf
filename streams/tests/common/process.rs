//! Simulates a process, as observed over the network.

use tokio::runtime::{Builder, Runtime};

/// Tasks that can be killed together, without closing connections.
pub(crate) struct Process(Option<Runtime>);

impl Process {
    pub(crate) fn start() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        Self(Some(runtime.expect("threads start")))
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.0.as_ref().expect("it lives").spawn(task)
    }

    /// Stops all tasks at once. Their values are not dropped while they could still close connections.
    pub(crate) fn kill(&mut self) {
        self.0.take().expect("it lives").shutdown_background();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
