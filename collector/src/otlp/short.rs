//! Comparing and checking short byte strings, of which a request has thousands.
//!
//! Keys and values have 5 to 30 bytes. For those a call into the C library costs more than the work: here two
//! loads that may overlap cover the whole string.

/// True when both hold the same bytes.
#[inline]
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if let (Some(a_first), Some(b_first)) = (a.first_chunk::<16>(), b.first_chunk::<16>()) {
        if a.len() > 32 {
            return a == b;
        }
        return a_first == b_first && a.last_chunk::<16>() == b.last_chunk::<16>();
    }
    if let (Some(a_first), Some(b_first)) = (a.first_chunk::<8>(), b.first_chunk::<8>()) {
        return a_first == b_first && a.last_chunk::<8>() == b.last_chunk::<8>();
    }
    if let (Some(a_first), Some(b_first)) = (a.first_chunk::<4>(), b.first_chunk::<4>()) {
        return a_first == b_first && a.last_chunk::<4>() == b.last_chunk::<4>();
    }
    a.iter().eq(b)
}

/// True when no byte has its highest bit set.
#[inline]
pub(crate) fn is_ascii(bytes: &[u8]) -> bool {
    const HIGH: u8 = 0x80;
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        if bytes.len() > 32 {
            return bytes.is_ascii();
        }
        return (u128::from_ne_bytes(*first) | u128::from_ne_bytes(*last)) & u128::from_ne_bytes([HIGH; 16]) == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (u64::from_ne_bytes(*first) | u64::from_ne_bytes(*last)) & u64::from_ne_bytes([HIGH; 8]) == 0;
    }
    bytes.iter().fold(0, |all, byte| all | byte) < HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length up to where the library takes over, with a difference at every place.
    #[test]
    fn every_byte_counts() {
        for length in 0..70 {
            let bytes: Vec<u8> = (0..length).collect();
            assert!(is_same(&bytes, &bytes.clone()) && is_ascii(&bytes), "{length}");
            assert!(!is_same(&bytes, &[&bytes[..], b"x"].concat()), "{length}");
            for at in 0..bytes.len() {
                let mut other = bytes.clone();
                other[at] |= 0x80;
                assert!(!is_same(&bytes, &other) && !is_ascii(&other), "{length} bytes, {at}");
            }
        }
    }
}
