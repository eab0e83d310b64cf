//! Plans on request: the changes that a manifest would make. Plans are limited in number and time, and are abandoned
//! when the client disconnects.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::Interest,
    net::UnixStream,
    sync::Semaphore,
    task::JoinError,
    time::{sleep, timeout},
};

use crate::{declare::Diagnostics, files, graph::Loaded};

/// Maximum number of manifests loaded for plans at a time: 4. Further requests wait. A load whose client has
/// disconnected counts until it completes.
const PLANS_MAX: usize = 4;
/// Maximum time that a plan request waits for others before it is refused: 30 s.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Maximum time for loading a manifest and compiling its operators: 5 minutes.
const PLAN_TIME_MAX: Duration = Duration::from_mins(5);
/// Interval of the check that a waiting client is still connected: 250 ms.
const LOOK: Duration = Duration::from_millis(250);

/// Loads and checks a manifest. Blocking.
pub type Load = Arc<dyn Fn(&Path) -> Result<Loaded, Diagnostics> + Send + Sync>;

/// Loads manifests for plans.
pub(super) struct Planner {
    load: Load,
    room: Arc<Semaphore>,
    wait_max: Duration,
    time_max: Duration,
}

impl Planner {
    pub(super) fn new(load: Load) -> Self {
        Self {
            load,
            room: Arc::new(Semaphore::new(PLANS_MAX)),
            wait_max: WAIT_MAX,
            time_max: PLAN_TIME_MAX,
        }
    }

    /// Loads a manifest.
    ///
    /// # Errors
    /// The manifest is invalid, loading takes too long, or too many manifests are being loaded.
    pub(super) async fn load(&self, path: PathBuf) -> Result<Loaded, String> {
        if files::is_given(&path) {
            return Err(
                "a plan requires a file: the node cannot read the input of its client".into(),
            );
        }
        let room = Arc::clone(&self.room).acquire_owned();
        let Ok(Ok(permit)) = timeout(self.wait_max, room).await else {
            return Err(format!(
                "{PLANS_MAX} plans are already in progress; try again later"
            ));
        };
        let load = Arc::clone(&self.load);
        // Compiling blocks and cannot be stopped, so its slot is held until it completes.
        let loading = tokio::task::spawn_blocking(move || {
            let loaded = load(&path);
            drop(permit);
            loaded
        });
        let failed = |error: JoinError| format!("it could not be read: {error}");
        match timeout(self.time_max, loading).await {
            Ok(loaded) => loaded
                .map_err(failed)?
                .map_err(|mistakes| mistakes.render(false).trim_end().to_owned()),
            Err(_) => Err(format!(
                "it takes longer than {:?} to read it and to compile its operators",
                self.time_max
            )),
        }
    }
}

/// Waits until a client has closed its connection. A client that only shut down its sending side still counts as
/// connected. Cancel safe.
pub(super) async fn gone(socket: &UnixStream) {
    while let Ok(ready) = socket.ready(Interest::WRITABLE).await
        && !ready.is_write_closed()
    {
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::declare::{Diagnostic, Source};

    fn refuses(text: &str) -> Result<Loaded, Diagnostics> {
        let source = Arc::new(Source::new("m.yaml", ""));
        let found = vec![Diagnostic::error(text)];
        Err(Diagnostics::new(source, found, Vec::new()))
    }

    #[tokio::test]
    async fn plans_that_hang_are_bounded_in_number_and_time() {
        let (release, hang) = mpsc::channel::<()>();
        let hang = std::sync::Mutex::new(hang);
        let (start, mut started) = tokio::sync::mpsc::unbounded_channel();
        let load: Load = Arc::new(move |path| {
            if path == Path::new("slow") {
                start.send(()).unwrap();
                let _ = hang.lock().unwrap().recv();
            }
            refuses("read")
        });
        let mut planner = Planner::new(load);
        planner.wait_max = Duration::from_millis(50);
        let planner = &planner;
        let ask = async |path: &str| planner.load(path.into()).await.unwrap_err();
        for _ in 0..PLANS_MAX {
            // A client that disconnects abandons its plan, but the slot stays occupied.
            tokio::select! {
                _ = planner.load("slow".into()) => panic!("the load hangs"),
                is_started = started.recv() => assert!(is_started.is_some()),
            }
        }
        assert!(ask("fast").await.contains("plans are already in progress"));
        drop(release);
        let until = tokio::time::Instant::now() + Duration::from_mins(1);
        while !ask("fast").await.contains("error: read") {
            assert!(tokio::time::Instant::now() < until, "no plan finished");
        }
    }

    #[tokio::test]
    async fn a_plan_has_a_time_limit() {
        let (release, hang) = mpsc::channel::<()>();
        let hang = std::sync::Mutex::new(hang);
        let load: Load = Arc::new(move |_| {
            let _ = hang.lock().unwrap().recv();
            refuses("read")
        });
        let mut planner = Planner::new(load);
        planner.time_max = Duration::from_millis(50);
        let late = planner.load("slow".into()).await.unwrap_err();
        drop(release);
        assert!(late.contains("takes longer than 50ms"), "{late}");
    }

    #[tokio::test]
    async fn a_plan_of_the_standard_input_of_a_client_is_refused() {
        let planner = Planner::new(Arc::new(|_| refuses("read")));
        let refused = planner.load("/dev/stdin".into()).await.unwrap_err();
        assert!(refused.contains("a plan requires a file"), "{refused}");
    }

    #[tokio::test]
    async fn a_closed_connection_is_detected() {
        let (node, mut client) = UnixStream::pair().unwrap();
        client.shutdown().await.unwrap();
        let still = timeout(LOOK * 2, gone(&node)).await;
        assert!(still.is_err(), "a client that waits for its answer");
        drop(client);
        timeout(Duration::from_mins(1), gone(&node)).await.unwrap();
    }
}
