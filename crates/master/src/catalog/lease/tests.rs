use super::super::testing::{self, client};
use super::super::{Catalog, CatalogLocation};
use super::*;
use parking_lot::Mutex;

const ENDPOINT: &str = "10.0.0.1:7000";

fn database() -> Option<testing::Database> {
    Some(testing::server()?.database())
}

/// As if nobody had renewed it for long.
fn expire(url: &str) {
    let expire = "UPDATE damson.lease SET expires = clock_timestamp() - interval '1 second'";
    assert_eq!(client(url).execute(expire, &[]).unwrap(), 1);
}

#[test]
fn one_has_it_until_it_expires() {
    let Some(url) = database() else { return };
    let first = Lease::acquire(&url, "m1", ENDPOINT).unwrap();
    let catalog = Catalog::open_leased(&first, 2).unwrap();
    assert_eq!(catalog.current().settings.epoch, first.epoch());
    let Err(CatalogError::Held(holder)) = Lease::acquire(&url, "m2", ENDPOINT) else { panic!("taken twice") };
    assert_eq!((holder.holder.as_str(), holder.endpoint.as_str(), holder.epoch), ("m1", ENDPOINT, first.epoch()));
    assert!(holder.expires_in <= LEASE && holder.expires_in > LEASE / 2, "{holder:?}");
    // Its own name is of no use to a master that starts again: the one before may be there.
    assert!(matches!(Lease::acquire(&url, "m1", ENDPOINT), Err(CatalogError::Held(_))));
    first.renew().unwrap();

    expire(&url);
    // Nobody came: it is still ours.
    first.renew().unwrap();
    assert!(matches!(Lease::acquire(&url, "m2", ENDPOINT), Err(CatalogError::Held(_))));

    expire(&url);
    let second = Lease::acquire(&url, "m2", "10.0.0.2:7000").unwrap();
    assert_eq!(second.epoch(), first.epoch() + 1);
    // From that moment, whether or not the second has opened the catalog.
    assert!(matches!(catalog.reserve_table_id(), Err(CatalogError::Fenced { .. })));
    let error = first.renew().unwrap_err();
    assert!(matches!(&error, CatalogError::Deposed { by, .. } if by.contains("m2 at 10.0.0.2:7000")), "{error}");
    assert!(matches!(Catalog::open_leased(&first, 2), Err(CatalogError::Fenced { .. })));
    // The deposed one cannot give away what is not its own.
    first.release().unwrap();
    second.renew().unwrap();
    Catalog::open_leased(&second, 2).unwrap().reserve_table_id().unwrap();
}

#[test]
fn release_hands_over_at_once() {
    let Some(url) = database() else { return };
    let first = Lease::acquire(&url, "m1", ENDPOINT).unwrap();
    first.release().unwrap();
    assert!(matches!(first.renew(), Err(CatalogError::Deposed { .. })), "a late renewal would take it back");
    let second = Lease::acquire(&url, "m2", ENDPOINT).unwrap();
    assert_eq!(second.epoch(), first.epoch() + 1);
}

#[test]
fn a_master_without_a_lease_deposes_too() {
    let Some(url) = database() else { return };
    let lease = Lease::acquire(&url, "m1", ENDPOINT).unwrap();
    let location = CatalogLocation::Postgres { url: url.to_string() };
    Catalog::open_at(&location, 2).unwrap();
    let error = lease.renew().unwrap_err();
    assert!(matches!(&error, CatalogError::Deposed { by, .. } if by.contains("without a lease")), "{error}");
}

#[test]
fn of_those_that_wait_one_wins() {
    let Some(url) = database() else { return };
    for round in 0..5 {
        if round > 0 {
            expire(&url);
        }
        let winners = Mutex::new(vec![]);
        std::thread::scope(|scope| {
            for i in 0..4 {
                let (url, winners) = (&url, &winners);
                scope.spawn(move || match Lease::acquire(url, &format!("m{i}"), ENDPOINT) {
                    Ok(lease) => winners.lock().push(lease.epoch()),
                    Err(CatalogError::Held(_)) => {}
                    Err(error) => panic!("{error}"),
                });
            }
        });
        assert_eq!(*winners.lock(), [round + 1]);
    }
}

#[test]
fn standbys_take_over_in_time() {
    let Some(url) = database() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let first = Arc::new(Lease::wait(&url, "m1", ENDPOINT, |_| panic!("it is free")).await.unwrap());
        let keeping = tokio::spawn(Arc::clone(&first).keep());
        let told = Arc::new(Mutex::new(vec![]));
        let mut standbys = tokio::task::JoinSet::new();
        for name in ["m2", "m3"] {
            let (url, told) = (url.to_string(), Arc::clone(&told));
            standbys.spawn(async move {
                let tell = |waiting: &Waiting| told.lock().push(format!("{waiting:?}"));
                Lease::wait(&url, name, ENDPOINT, tell).await.unwrap()
            });
        }
        // It is renewed: nobody gets it when the first term is over.
        let longer = LEASE + Duration::from_secs(2);
        assert!(tokio::time::timeout(longer, standbys.join_next()).await.is_err());
        assert!(!keeping.is_finished());
        assert_eq!(told.lock().len(), 2, "told once, not at each look: {told:?}");
        assert!(told.lock().iter().all(|told| told.contains("Held") && told.contains("m1")));

        // It dies.
        keeping.abort();
        let died = Instant::now();
        let second = standbys.join_next().await.unwrap().unwrap();
        let took = died.elapsed();
        assert!(took < TAKEOVER_MAX && took > LEASE - RENEW_EVERY - Duration::from_millis(500), "{took:?}");
        assert!(matches!(Arc::clone(&first).keep().await, CatalogError::LeaseExpired { .. }));
        assert!(matches!(first.renew(), Err(CatalogError::Deposed { .. })));

        // It shuts down.
        second.release().unwrap();
        let released = Instant::now();
        let third = standbys.join_next().await.unwrap().unwrap();
        assert!(released.elapsed() < Duration::from_secs(2), "{:?}", released.elapsed());
        assert_eq!((second.epoch(), third.epoch()), (first.epoch() + 1, first.epoch() + 2));
    });
}

/// A database that is away, and back before the lease expires; and one that stays away.
#[test]
fn a_lease_that_cannot_be_renewed_ends_before_another_has_it() {
    if testing::server().is_none() {
        return;
    }
    let server = testing::Server::start().unwrap();
    let url = server.database();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let lease = Arc::new(Lease::wait(&url, "m1", ENDPOINT, |_| {}).await.unwrap());
        let keeping = tokio::spawn(Arc::clone(&lease).keep());
        server.stop();
        sleep(Duration::from_millis(500)).await;
        server.start_again();
        sleep(LEASE).await;
        assert!(!keeping.is_finished());

        let waiting = tokio::spawn(async move {
            let unreachable = Arc::new(Mutex::new(false));
            let told = |waiting: &Waiting| *unreachable.lock() |= matches!(waiting, Waiting::Unreachable(_));
            let second = Lease::wait(&url, "m2", ENDPOINT, told).await.unwrap();
            assert!(*unreachable.lock());
            second
        });
        sleep(POLL_EVERY).await;
        server.stop();
        let ended = tokio::time::timeout(LEASE + Duration::from_millis(500), keeping).await.unwrap().unwrap();
        assert!(matches!(ended, CatalogError::LeaseExpired { .. }), "{ended}");
        assert!(!waiting.is_finished());
        server.start_again();
        assert_eq!(waiting.await.unwrap().epoch(), lease.epoch() + 1);
    });
}

/// The lease seems to last for an hour: nobody who waits waits for that.
#[test]
fn a_clock_that_was_set_back_does_not_keep_the_lease() {
    let Some(url) = database() else { return };
    let _held = Lease::acquire(&url, "m1", ENDPOINT).unwrap();
    let back = "UPDATE damson.lease SET expires = expires + interval '1 hour'";
    assert_eq!(client(&url).execute(back, &[]).unwrap(), 1);
    for is_first in [true, false] {
        let Err(CatalogError::Held(holder)) = Lease::acquire(&url, "m2", ENDPOINT) else { panic!("it is held") };
        assert_eq!(holder.expires_in > LEASE, is_first, "{holder:?}");
    }
}

#[test]
fn a_master_that_is_named_after_its_place_is_told_once() {
    let holder = |holder: &str| LeaseHolder {
        holder: holder.into(),
        endpoint: "10.0.0.1:50051".into(),
        epoch: 7,
        expires_in: Duration::ZERO,
    };
    let told = |name| holder(name).to_string();
    assert_eq!(told("10.0.0.1:50051 (process 3)"), "the master 10.0.0.1:50051 (process 3) (epoch 7)");
    assert_eq!(told("m1"), "the master m1 at 10.0.0.1:50051 (epoch 7)");
}
