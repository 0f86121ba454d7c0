//! Sizes as settings of PostgreSQL have them: `64MB`.

/// Bytes of `n`, `nB`, `nkB`, `nMB` or `nGB`, in powers of 1024; None for anything else, for 0, and for more than 2^63.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_bytes: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        _ => return None,
    };
    let bytes = number.parse::<u64>().ok()?.checked_mul(unit_bytes)?;
    (bytes > 0 && i64::try_from(bytes).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes() {
        for (text, wanted) in
            [("1", 1), ("512B", 512), ("4kB", 4096), ("64 MB", 64 << 20), ("2gb", 2 << 30), (" 7 ", 7)]
        {
            assert_eq!(bytes(text), Some(wanted), "{text}");
        }
        for text in ["", "0", "0MB", "MB", "1TB", "1.5MB", "-1", "99999999999999999999", "9000000000GB", "1 k B"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
