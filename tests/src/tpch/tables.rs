//! TPC-H's tables: their DDL, and `.tbl` files as the official generator writes them, trailing delimiter included.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::Path;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

/// Names, in the order in which [`CREATE_TABLES`] makes them.
pub const TABLES: [&str; 8] = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"];

/// Orders and their lines, and parts and their suppliers, are co-located; the two smallest tables are everywhere.
pub const CREATE_TABLES: [&str; 8] = [
    "CREATE TABLE region (r_regionkey int NOT NULL, r_name varchar(25) NOT NULL, r_comment varchar(152)) \
     DISTRIBUTED REPLICATED",
    "CREATE TABLE nation (n_nationkey int NOT NULL, n_name varchar(25) NOT NULL, n_regionkey int NOT NULL, \
     n_comment varchar(152)) DISTRIBUTED REPLICATED",
    "CREATE TABLE supplier (s_suppkey bigint NOT NULL, s_name varchar(25) NOT NULL, s_address varchar(40) NOT NULL, \
     s_nationkey int NOT NULL, s_phone varchar(15) NOT NULL, s_acctbal numeric(15,2) NOT NULL, \
     s_comment varchar(101) NOT NULL) DISTRIBUTED BY (s_suppkey)",
    "CREATE TABLE customer (c_custkey bigint NOT NULL, c_name varchar(25) NOT NULL, c_address varchar(40) NOT NULL, \
     c_nationkey int NOT NULL, c_phone varchar(15) NOT NULL, c_acctbal numeric(15,2) NOT NULL, \
     c_mktsegment varchar(10) NOT NULL, c_comment varchar(117) NOT NULL) DISTRIBUTED BY (c_custkey)",
    "CREATE TABLE part (p_partkey bigint NOT NULL, p_name varchar(55) NOT NULL, p_mfgr varchar(25) NOT NULL, \
     p_brand varchar(10) NOT NULL, p_type varchar(25) NOT NULL, p_size int NOT NULL, \
     p_container varchar(10) NOT NULL, p_retailprice numeric(15,2) NOT NULL, p_comment varchar(23) NOT NULL) \
     DISTRIBUTED BY (p_partkey)",
    "CREATE TABLE partsupp (ps_partkey bigint NOT NULL, ps_suppkey bigint NOT NULL, ps_availqty int NOT NULL, \
     ps_supplycost numeric(15,2) NOT NULL, ps_comment varchar(199) NOT NULL) DISTRIBUTED BY (ps_partkey)",
    "CREATE TABLE orders (o_orderkey bigint NOT NULL, o_custkey bigint NOT NULL, o_orderstatus char(1) NOT NULL, \
     o_totalprice numeric(15,2) NOT NULL, o_orderdate date NOT NULL, o_orderpriority varchar(15) NOT NULL, \
     o_clerk varchar(15) NOT NULL, o_shippriority int NOT NULL, o_comment varchar(79) NOT NULL) \
     DISTRIBUTED BY (o_orderkey)",
    "CREATE TABLE lineitem (l_orderkey bigint NOT NULL, l_partkey bigint NOT NULL, l_suppkey bigint NOT NULL, \
     l_linenumber int NOT NULL, l_quantity numeric(15,2) NOT NULL, l_extendedprice numeric(15,2) NOT NULL, \
     l_discount numeric(15,2) NOT NULL, l_tax numeric(15,2) NOT NULL, l_returnflag char(1) NOT NULL, \
     l_linestatus char(1) NOT NULL, l_shipdate date NOT NULL, l_commitdate date NOT NULL, \
     l_receiptdate date NOT NULL, l_shipinstruct varchar(25) NOT NULL, l_shipmode varchar(10) NOT NULL, \
     l_comment varchar(44) NOT NULL) DISTRIBUTED BY (l_orderkey)",
];

/// Loads `<directory>/<table>.tbl`.
pub fn copy_statement(table: &str, directory: &Path) -> String {
    format!("COPY {table} FROM '{}/{table}.tbl' (FORMAT csv, DELIMITER '|')", directory.display())
}

/// Writes all eight tables at scale factor `sf` as `<directory>/<table>.tbl`.
///
/// # Errors
/// Whatever writing a file meets.
pub fn write_tbl_files(directory: &Path, sf: f64) -> Result<()> {
    let write = |table: &str, rows: &mut dyn Iterator<Item = Box<dyn Display>>| -> Result<()> {
        let mut file = BufWriter::new(File::create(directory.join(format!("{table}.tbl")))?);
        for row in rows {
            writeln!(file, "{row}")?;
        }
        file.flush()
    };
    macro_rules! table {
        ($name:literal, $generator:ident) => {
            write($name, &mut $generator::new(sf, 1, 1).iter().map(|row| Box::new(row) as Box<dyn Display>))?
        };
    }
    table!("region", RegionGenerator);
    table!("nation", NationGenerator);
    table!("supplier", SupplierGenerator);
    table!("customer", CustomerGenerator);
    table!("part", PartGenerator);
    table!("partsupp", PartSuppGenerator);
    table!("orders", OrderGenerator);
    table!("lineitem", LineItemGenerator);
    Ok(())
}
