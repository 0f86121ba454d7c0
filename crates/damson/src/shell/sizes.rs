//! Bytes as people read them.

/// `3120 MB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_few_digits() {
        assert_eq!(
            [0, 9_999, 10_000, 9_999_999, 10_000_000].map(size),
            ["0 bytes", "9999 bytes", "10 kB", "9999 kB", "10 MB"]
        );
    }
}
