//! A power cut at every single call of the disk in one cycle: start, ingest, flush, merge, erasure, retention, vacuum, end.
//!
//! Where the worlds of `simulation.rs` draw their crashes, here each call has its turn: the cycle is run again and again, and
//! ends at its first, second, third... call that changes something on the disk, until there are no further calls. Once on an
//! empty disk, where every directory and every log is made, and once on what a process before has left.
//!
//! The short form takes every [`STEP`]th call, `HODOSCOPE_LONG=1` all of them. After `HODOSCOPE_SECONDS_MAX`, half of it on an empty disk and half
//! on the other, no further crash begins, and where it ended is said: `HODOSCOPE_FIRST_CALL` goes on from there.

use super::*;

/// Distance between two crashes of the short form.
const STEP: u64 = 83;
/// So many cycles in a row that come to their end: there are no further calls.
const WHOLE_IN_A_ROW: usize = 4;
/// What the cycle does is drawn once, so that all cycles do the same.
const SEED: u64 = 7;

impl World {
    /// The world of one crash: the same load each time, and a disk of its own, which loses other things each time.
    fn of_call(n_calls: u64) -> Self {
        Self { disk: SimulatedDisk::new(n_calls), has_other_tenant: true, ..Self::new(SEED) }
    }

    fn settings() -> Config {
        Config {
            data: "/var/data".into(),
            group_commit_ms: 0,
            wal_file_bytes: 20_000,
            buffer_bytes_max: 20_000,
            retention_days: RETENTION_DAYS,
            compaction_wait_s: 0,
            vacuum_grace_s: 0,
            erasure_hold_s: 0,
            disk_reserve_bytes: 0,
            ..Config::default()
        }
    }

    /// Everything that storage does, once. False when the crash came.
    async fn cycle(&mut self, crash_after: u64) -> bool {
        let Some(storage) = self.open_with(Self::settings(), Some(crash_after)).await else { return false };
        let maintainer = storage.maintainer();
        for n in 1..=2 {
            let begun = std::time::Instant::now();
            while storage.reader().status().counts.flushes < n && !self.disk.is_crashed() {
                if begun.elapsed() > PATIENCE {
                    self.fail("nothing is flushed");
                }
                self.load(&storage, 2).await;
            }
            maintainer.compact().await;
        }
        self.erase(&storage).await;
        // Nothing expires before two readings of the clock agree; then what was dropped is vacuumed.
        for _ in 0..3 {
            maintainer.look_around().await;
        }
        self.note_counts(&storage);
        self.check(&storage).await;
        if self.disk.is_crashed() {
            return false;
        }
        match storage.close().await {
            Ok(()) => true,
            Err(_) if self.disk.is_crashed() => false,
            Err(error) => self.fail(&format!("closing failed: {error}")),
        }
    }

    /// A cycle with a crash at this call, and what is found afterwards. False when there was no such call.
    async fn crash_at(&mut self, n_calls: u64, has_data: bool) -> bool {
        if has_data {
            let Some(storage) = self.open_with(Self::settings(), None).await else { self.fail("no start") };
            self.load(&storage, 8).await;
            storage.close().await.unwrap_or_else(|error| self.fail(&format!("closing failed: {error}")));
            self.disk = self.disk.restart();
        }
        let is_whole = self.cycle(n_calls).await;
        self.n_crashes += u64::from(!is_whole);
        self.disk = self.disk.restart();
        self.find_everything().await;
        !is_whole
    }
}

/// F3: see above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f03_a_power_cut_at_every_call_of_a_cycle_loses_nothing() {
    let is_long = std::env::var("HODOSCOPE_LONG").is_ok_and(|value| value == "1");
    let seconds_max = setting("HODOSCOPE_SECONDS_MAX");
    for has_data in [false, true] {
        let step = if is_long { 1 } else { STEP };
        let first = setting("HODOSCOPE_FIRST_CALL").unwrap_or(0);
        let begun = std::time::Instant::now();
        let has_time = || seconds_max.is_none_or(|seconds| begun.elapsed() < Duration::from_secs(seconds) / 2);
        let numbers = (first..).step_by(step as usize).take_while(|_| has_time());
        let calls = futures::stream::iter(numbers).map(|n_calls| async move {
            let running = tokio::spawn(async move {
                let mut world = World::of_call(n_calls);
                let was_there = world.crash_at(n_calls, has_data).await;
                (world, was_there)
            });
            (n_calls, running.await)
        });
        let mut worlds = std::pin::pin!(calls.buffered(WORLDS_AT_ONCE));
        let (mut sums, mut failed, mut n_whole, mut last) = (Sums::default(), Vec::new(), 0, 0);
        while n_whole < WHOLE_IN_A_ROW {
            // Numbers do not end: the time has.
            let Some((n_calls, world)) = worlds.next().await else { break };
            match world {
                Ok((world, was_there)) => {
                    sums.add(&world);
                    n_whole = if was_there { 0 } else { n_whole + 1 };
                    last = if was_there { n_calls } else { last };
                }
                // It has said why.
                Err(_) => failed.push(n_calls),
            }
            assert!(failed.len() < 10, "something was lost, or a start failed, after crashes at {failed:?}");
        }
        println!(
            "a crash at every {step}. call, has_data {has_data}, from {first} to {last}{}: {sums}, failed: {failed:?}, {:?}",
            if n_whole < WHOLE_IN_A_ROW { ", where the time ended" } else { ", the last one" },
            begun.elapsed()
        );
        assert!(failed.is_empty(), "something was lost, or a start failed, after crashes at these calls: {failed:?}");
        if n_whole < WHOLE_IN_A_ROW || first > 0 {
            continue;
        }
        assert!(last > 100, "the cycle did too little to prove anything: {last} calls");
        let is_busy = sums.n_merges > 0 && sums.n_vacuumed > 0;
        assert!(is_busy, "maintenance did too little to prove anything: {sums}");
    }
}
