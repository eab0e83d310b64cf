//! [`Watch`]: the ordered events of the names in a folder, read without an intermediate thread.
//!
//! The system queues a rename event before another file can take the name. Therefore a caller that opens the name and
//! then reads the events knows of every file that had the name before.

use std::{ffi::OsString, io, path::Path};

/// An event of a name in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A file was renamed within the folder. A file that had the second name is gone.
    Renamed(OsString, OsString),
    /// A file was created, or moved here from another folder. A file that had the name before is gone.
    Appeared(OsString),
    /// The file was deleted, or moved to another folder.
    Gone(OsString),
    /// The content or the permissions changed.
    Changed(OsString),
    /// The system has lost events.
    Missed,
}

impl Event {
    /// Returns whether the event concerns this name.
    pub(super) fn is_about(&self, name: &OsString) -> bool {
        match self {
            Self::Renamed(from, to) => from == name || to == name,
            Self::Appeared(about) | Self::Gone(about) | Self::Changed(about) => about == name,
            Self::Missed => true,
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) use self::linux::Watch;

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        mem::MaybeUninit,
        os::{fd::OwnedFd, unix::ffi::OsStringExt as _},
        sync::{Mutex, PoisonError},
        time::Duration,
    };

    use rustix::{
        fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
        io::Errno,
    };
    use tokio::io::{Interest, unix::AsyncFd};

    use super::{Event, OsString, Path, io};

    /// Maximum time between the two halves of a rename: 1 ms. Without a second half, the file has left the folder.
    const HALF_TIME: Duration = Duration::from_millis(1);
    /// Size of the read buffer: 8 KiB.
    const BUFFER_BYTES: usize = 8 * 1024;

    /// A watched folder.
    #[derive(Debug)]
    pub(in super::super) struct Watch {
        fd: AsyncFd<OwnedFd>,
        /// First half of a rename whose second half has not arrived: its cookie, and the name.
        half: Mutex<Option<(u32, OsString)>>,
    }

    impl Watch {
        pub(in super::super) fn start(folder: &Path) -> io::Result<Self> {
            let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            let of_names = WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::CREATE
                | WatchFlags::DELETE;
            let of_content = WatchFlags::MODIFY | WatchFlags::ATTRIB;
            inotify::add_watch(&fd, folder, of_names | of_content | WatchFlags::ONLYDIR)?;
            // SAFETY: the `AsyncFd` owns its descriptor, and nothing replaces or closes it during its lifetime.
            let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE)? };
            Ok(Self {
                fd,
                half: Mutex::new(None),
            })
        }

        /// Waits until an event may be available. Cancel safe.
        pub(in super::super) async fn changed(&self) {
            match self.fd.readable().await {
                Ok(mut ready) => ready.clear_ready(),
                Err(_) => std::future::pending().await,
            }
        }

        /// Returns all events since the last call.
        pub(in super::super) async fn drain(&self) -> Vec<Event> {
            let mut events = Vec::new();
            self.read(&mut events);
            if self.has_half() {
                tokio::time::sleep(HALF_TIME).await;
                self.read(&mut events);
                self.give_up_half(&mut events);
            }
            events
        }

        fn has_half(&self) -> bool {
            let half = self.half.lock();
            half.unwrap_or_else(PoisonError::into_inner).is_some()
        }

        /// Reports a file as gone if the second half of its rename did not arrive.
        fn give_up_half(&self, events: &mut Vec<Event>) {
            let mut half = self.half.lock().unwrap_or_else(PoisonError::into_inner);
            events.extend(half.take().map(|(_, name)| Event::Gone(name)));
        }

        fn read(&self, events: &mut Vec<Event>) {
            let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
            let mut reader = Reader::new(self.fd.get_ref(), &mut buffer);
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(Errno::INTR) => continue,
                    // There are no more events, or the folder no longer exists.
                    Err(_) => return,
                };
                let flags = event.events();
                if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                    events.push(Event::Missed);
                    continue;
                }
                let Some(name) = event.file_name() else {
                    continue;
                };
                let name = OsString::from_vec(name.to_bytes().to_vec());
                self.note(flags, event.cookie(), name, events);
            }
        }

        fn note(&self, flags: ReadFlags, cookie: u32, name: OsString, events: &mut Vec<Event>) {
            if flags.contains(ReadFlags::MOVED_TO) {
                let mut half = self.half.lock().unwrap_or_else(PoisonError::into_inner);
                if half.as_ref().is_some_and(|(of, _)| *of == cookie) {
                    events.extend(half.take().map(|(_, from)| Event::Renamed(from, name)));
                } else {
                    events.push(Event::Appeared(name));
                }
            } else if flags.contains(ReadFlags::MOVED_FROM) {
                self.give_up_half(events);
                let mut half = self.half.lock().unwrap_or_else(PoisonError::into_inner);
                *half = Some((cookie, name));
            } else if flags.contains(ReadFlags::CREATE) {
                events.push(Event::Appeared(name));
            } else if flags.contains(ReadFlags::DELETE) {
                events.push(Event::Gone(name));
            } else {
                let change = Event::Changed(name);
                if events.last() != Some(&change) {
                    events.push(change);
                }
            }
        }
    }
}

/// Systems other than Linux do not report events in order; files are checked periodically instead.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) struct Watch;

#[cfg(not(target_os = "linux"))]
impl Watch {
    pub(super) fn start(_: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) async fn changed(&self) {
        std::future::pending().await
    }

    pub(super) async fn drain(&self) -> Vec<Event> {
        Vec::new()
    }
}
