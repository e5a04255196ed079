//! What is read back from a disk: as damage leaves it, and with right checksums around anything.

use storage::fuzz::{bucket_rows, index_file, look_up, replay_wal, table_log as read_table_log, wal_head, wal_record};

/// Bytes at the front of the input.
fn taken<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*first)
}

/// An input that begins with 0 is a file. Others are a list of records that are framed here, with right checksums:
/// kind, how far the sequence jumps, place, plain length, length; with gaps of raw bytes between.
pub fn wal(input: &[u8]) {
    const SALT: u64 = 0x5a17;
    let Some((choice, mut rest)) = input.split_first() else { return };
    if *choice == 0 {
        replay_wal(rest.to_vec());
        return;
    }
    let mut file = wal_head(SALT, 1);
    let mut sequence = 0_u64;
    let mut framed = 0;
    while let Some([kind, jump, place, plain, low, high]) = taken(&mut rest) {
        let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (payload, after) = rest.split_at(length);
        rest = after;
        if kind == 0xff {
            file.extend_from_slice(payload);
            continue;
        }
        // 255 goes to the very end of the numbers.
        sequence = if jump == 0xff { u64::MAX } else { sequence.saturating_add(u64::from(jump)) };
        let plain_length = match plain {
            0 => 0,
            0xff => u32::MAX,
            n => u32::from(n) * 64,
        };
        file.extend(wal_record(SALT, kind % 4, sequence, u32::from(place), plain_length, payload));
        framed += 1;
    }
    let held = replay_wal(file).expect("its head is right");
    assert!(held.records <= framed, "{held:?} of {framed} records");
}

/// An input that begins with 0 is a file, with 1 what stands behind a right head, with 2 one bucket.
pub fn index(input: &[u8]) {
    let Some((choice, mut rest)) = input.split_first() else { return };
    let Some([id, n_rows]) = taken(&mut rest) else { return };
    let id = [id; 16];
    match choice % 3 {
        0 => drop(look_up(rest, u64::from(n_rows), 1, &id)),
        1 => {
            let (sections, rest) = rest.split_at(rest.len().min(64));
            look_up(&index_file(u64::from(n_rows), sections, rest), u64::from(n_rows), 1, &id);
        }
        _ => drop(bucket_rows(rest, &id)),
    }
}

/// A name, a line end, and what the file of that name holds.
pub fn table_log(input: &[u8]) {
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (name, rest) = input.split_at(at);
    let Ok(name) = std::str::from_utf8(name) else { return };
    read_table_log(name, rest.get(1..).unwrap_or_default());
}
