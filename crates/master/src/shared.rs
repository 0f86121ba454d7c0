//! A pointer that is known to be shared between threads.

use std::ops::Deref;
use std::sync::Arc;

/// An [`Arc`] whose pointee is not looked into when the compiler asks whether it may cross threads: it was when this was made. In the
/// methods of an `async_trait` it asks anew in each, and of a session or the master, which lead to all of the engine, an answer takes seven
/// seconds.
pub(crate) struct Shared<T>(Arc<dyn Pointer<T>>);

trait Pointer<T>: Send + Sync {
    fn pointer(&self) -> &Arc<T>;
}

impl<T: Send + Sync> Pointer<T> for Arc<T> {
    fn pointer(&self) -> &Arc<T> {
        self
    }
}

impl<T: Send + Sync + 'static> From<Arc<T>> for Shared<T> {
    fn from(pointer: Arc<T>) -> Self {
        Shared(Arc::new(pointer))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        self.0.pointer()
    }
}
