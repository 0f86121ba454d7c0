//! Good bytes, to start from.

use crate::copy::{BINARY_END, BINARY_HEAD};
use crate::values::{array_to_pg, date_to_pg, interval_to_pg, numeric_to_pg, timestamp_to_pg};

/// Packets that open a connection, without their lengths.
pub fn valid_openings() -> Vec<Vec<u8>> {
    let openings: [&[u8]; 6] = [
        b"\x04\xd2\x16\x2f",
        b"\x04\xd2\x16\x30",
        b"\x04\xd2\x16\x2e\0\0\0\x07\x01\x02\x03\x04",
        b"\0\x03\0\0user\0alice\0database\0damson\0application_name\0psql\0client_encoding\0UTF8\0\0",
        b"\0\x03\0\x02user\0alice\0_pq_.report\0on\0options\0-c search_path=a -c lock_timeout=5s\0replication\0false\0\0",
        b"\0\x03\0\0\0",
    ];
    openings.map(<[u8]>::to_vec).to_vec()
}

/// Messages with their kind, without their length; answers to authentication are among them.
pub fn valid_messages() -> Vec<Vec<u8>> {
    let messages: [&[u8]; 22] = [
        b"QSELECT 1; SELECT 'a'\0",
        b"Ps\0SELECT $1, $2\0\0\x02\0\0\0\x17\0\0\0\0",
        b"Bp\0s\0\0\x01\0\x01\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0\0\x02\0\0\0\x01",
        b"B\0\0\0\x02\0\0\0\x01\0\x02\0\0\0\x011\0\0\0\x04\0\0\0\x07\0\0",
        b"DSs\0",
        b"DP\0",
        b"CPp\0",
        b"Ep\0\0\0\0\x64",
        b"E\0\xff\xff\xff\xff",
        b"S",
        b"H",
        b"X",
        b"d1\ta\n",
        b"c",
        b"fno more\0",
        b"popen sesame\0",
        b"pSCRAM-SHA-256\0\0\0\0\x20n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        b"pSCRAM-SHA-256\0\xff\xff\xff\xff",
        b"pn,,n=,r=abc,x=1",
        b"pp=tls-server-end-point,,n=,r=abc",
        b"py,a=bob,n=a=2Cb,r=abc",
        b"pc=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    ];
    messages.map(<[u8]>::to_vec).to_vec()
}

/// Rows as lines, in either style.
pub fn valid_lines() -> Vec<Vec<u8>> {
    let lines: [&[u8]; 6] = [
        b"1\ta\\tb\t\\N\n2\t\\\\N\t\\x41\\101\\\nc\n\\N\t\t\n\\.\nafter\n",
        b"1,\"a,\"\"b\"\"\n\",\r\n\"\",c\"d\"e,\"x\"\r\n,,3",
        b"'it\\'s; \\\\ \\n';2\nnull;'null'\n\\.\n",
        b"a^|b|^N\n^x41^\\|c^\n|\\N",
        "\u{feff}\u{e9};\u{1f980}\n\"\",'\u{e9}'\n".as_bytes(),
        b"\\.\n",
    ];
    lines.map(<[u8]>::to_vec).to_vec()
}

/// Rows in binary, of two columns.
pub fn valid_binary_rows() -> Vec<Vec<u8>> {
    let rows = b"\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\x02\0\0\0\0\0\0\0\x02\xff\xff";
    let extended = b"PGCOPY\n\xff\r\n\0\0\0\x7f\xff\0\0\0\x03xyz";
    vec![
        [&BINARY_HEAD[..], rows, &BINARY_END].concat(),
        [&BINARY_HEAD[..], rows].concat(),
        [&extended[..], rows, rows, &BINARY_END].concat(),
        [&BINARY_HEAD[..], &BINARY_END].concat(),
    ]
}

/// Values, each with the number of its kind for [`value`](super::value).
pub fn valid_values() -> Vec<(usize, Vec<u8>)> {
    let mut values: Vec<(usize, Vec<u8>)> = vec![];
    for days in [0, 10_957, -719_528, 2_932_896] {
        values.push((0, date_to_pg(days).expect("PostgreSQL has it").to_vec()));
    }
    for micros in [0, 946_684_800_000_001, -62_135_596_800_000_000, i64::MAX / 2] {
        values.push((1, timestamp_to_pg(micros).expect("PostgreSQL has it").to_vec()));
    }
    for (months, days, nanos) in [(0, 0, 0), (14, -3, 1_500_000_000), (-1, 1, -1_000), (i32::MIN, i32::MAX, i64::MAX)] {
        values.push((2, interval_to_pg(months, days, nanos).to_vec()));
    }
    for (unscaled, scale) in [(0, 2), (150, 2), (-1_234_567_891, 5), (1, 38), (10i128.pow(38) - 1, 0)] {
        let mut value = vec![];
        numeric_to_pg(unscaled, scale, &mut value);
        values.push((3, value));
    }
    for (oid, items) in [(23, vec![]), (21, vec![Some(&[0u8, 7][..]), None]), (25, vec![Some(&b"a"[..]), Some(b"")])] {
        let mut value = vec![];
        array_to_pg(oid, &items, &mut value).expect("it is short");
        values.push((4, value));
    }
    let texts = [
        (5, "-1.50"),
        (5, "+15E-1"),
        (5, "0.00000000000000000000000000000000000001"),
        (6, "\\x00Ff 10"),
        (6, "a\\\\b\\001\\377"),
        (7, r#"{"","null","a \"b\\",NULL, c d }"#),
        (7, "{}"),
        (8, "1 year 2 mons -3 days +04:05:06.7"),
        (8, "@ 1.5 hours 2.25 months ago"),
        (8, "P1Y2M3W4DT5H6M7.5S"),
        (9, "numeric(15,2)"),
        (9, "character varying(25)[]"),
        (9, "timestamp with time zone"),
    ];
    values.extend(texts.map(|(kind, text)| (kind, text.as_bytes().to_vec())));
    values
}
