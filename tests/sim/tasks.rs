//! One thread, many tasks: which of the ready ones goes on is the run's choice.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
pub(crate) struct Tasks {
    tasks: Vec<Option<Task>>,
    ready: Arc<Mutex<Vec<usize>>>,
}

struct Task {
    work: Work,
    flag: Arc<Flag>,
}

/// Puts its task among the ready ones, once.
struct Flag {
    task: usize,
    queued: AtomicBool,
    ready: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            ready.push(self.task);
        }
    }
}

impl Tasks {
    pub(crate) fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) -> usize {
        let task = self.tasks.len();
        let flag = Arc::new(Flag {
            task,
            queued: AtomicBool::new(false),
            ready: self.ready.clone(),
        });
        flag.clone().wake();
        let work = Box::pin(work);
        self.tasks.push(Some(Task { work, flag }));
        task
    }

    /// Drops a task where it stands: a crash, to it.
    pub(crate) fn kill(&mut self, task: usize) {
        drop(self.tasks[task].take());
    }

    pub(crate) fn lives(&self, task: usize) -> bool {
        self.tasks[task].is_some()
    }

    pub(crate) fn ready(&self) -> usize {
        self.ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Lets the ready task at `choice` go on to where it waits next; which one that was.
    pub(crate) fn poll(&mut self, choice: usize) -> usize {
        let task = {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            ready.swap_remove(choice)
        };
        let Some(running) = &mut self.tasks[task] else {
            return task;
        };
        running.flag.queued.store(false, Ordering::Relaxed);
        let waker = Waker::from(running.flag.clone());
        let polled = running.work.as_mut().poll(&mut Context::from_waker(&waker));
        if matches!(polled, Poll::Ready(())) {
            self.tasks[task] = None;
        }
        task
    }
}
