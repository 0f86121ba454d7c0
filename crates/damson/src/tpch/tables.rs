//! The eight tables: definitions, and where their rows go.

use std::fmt;

/// A table of TPC-H.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Region,
    Nation,
    Supplier,
    Customer,
    Part,
    Partsupp,
    Orders,
    Lineitem,
}

/// In the order in which they refer to each other.
pub const TABLES: [Table; 8] = [
    Table::Region,
    Table::Nation,
    Table::Supplier,
    Table::Customer,
    Table::Part,
    Table::Partsupp,
    Table::Orders,
    Table::Lineitem,
];

impl Table {
    pub fn name(self) -> &'static str {
        match self {
            Table::Region => "region",
            Table::Nation => "nation",
            Table::Supplier => "supplier",
            Table::Customer => "customer",
            Table::Part => "part",
            Table::Partsupp => "partsupp",
            Table::Orders => "orders",
            Table::Lineitem => "lineitem",
        }
    }

    /// CREATE TABLE. Orders lie with their lines and parts with their suppliers; the two smallest are everywhere.
    pub fn definition(self) -> &'static str {
        match self {
            Table::Region => {
                "CREATE TABLE region (\
                 r_regionkey integer NOT NULL, r_name varchar(25) NOT NULL, r_comment varchar(152) NOT NULL, \
                 PRIMARY KEY (r_regionkey)) DISTRIBUTED REPLICATED"
            }
            Table::Nation => {
                "CREATE TABLE nation (\
                 n_nationkey integer NOT NULL, n_name varchar(25) NOT NULL, n_regionkey integer NOT NULL, \
                 n_comment varchar(152) NOT NULL, PRIMARY KEY (n_nationkey)) DISTRIBUTED REPLICATED"
            }
            Table::Supplier => {
                "CREATE TABLE supplier (\
                 s_suppkey integer NOT NULL, s_name varchar(25) NOT NULL, s_address varchar(40) NOT NULL, \
                 s_nationkey integer NOT NULL, s_phone varchar(15) NOT NULL, s_acctbal numeric(15,2) NOT NULL, \
                 s_comment varchar(101) NOT NULL, PRIMARY KEY (s_suppkey)) DISTRIBUTED BY (s_suppkey)"
            }
            Table::Customer => {
                "CREATE TABLE customer (\
                 c_custkey integer NOT NULL, c_name varchar(25) NOT NULL, c_address varchar(40) NOT NULL, \
                 c_nationkey integer NOT NULL, c_phone varchar(15) NOT NULL, c_acctbal numeric(15,2) NOT NULL, \
                 c_mktsegment varchar(10) NOT NULL, c_comment varchar(117) NOT NULL, PRIMARY KEY (c_custkey)) \
                 DISTRIBUTED BY (c_custkey)"
            }
            Table::Part => {
                "CREATE TABLE part (\
                 p_partkey integer NOT NULL, p_name varchar(55) NOT NULL, p_mfgr varchar(25) NOT NULL, \
                 p_brand varchar(10) NOT NULL, p_type varchar(25) NOT NULL, p_size integer NOT NULL, \
                 p_container varchar(10) NOT NULL, p_retailprice numeric(15,2) NOT NULL, \
                 p_comment varchar(23) NOT NULL, PRIMARY KEY (p_partkey)) DISTRIBUTED BY (p_partkey)"
            }
            Table::Partsupp => {
                "CREATE TABLE partsupp (\
                 ps_partkey integer NOT NULL, ps_suppkey integer NOT NULL, ps_availqty integer NOT NULL, \
                 ps_supplycost numeric(15,2) NOT NULL, ps_comment varchar(199) NOT NULL, \
                 PRIMARY KEY (ps_partkey, ps_suppkey)) DISTRIBUTED BY (ps_partkey)"
            }
            Table::Orders => {
                "CREATE TABLE orders (\
                 o_orderkey bigint NOT NULL, o_custkey integer NOT NULL, o_orderstatus char(1) NOT NULL, \
                 o_totalprice numeric(15,2) NOT NULL, o_orderdate date NOT NULL, \
                 o_orderpriority varchar(15) NOT NULL, o_clerk varchar(15) NOT NULL, \
                 o_shippriority integer NOT NULL, o_comment varchar(79) NOT NULL, PRIMARY KEY (o_orderkey)) \
                 DISTRIBUTED BY (o_orderkey)"
            }
            Table::Lineitem => {
                "CREATE TABLE lineitem (\
                 l_orderkey bigint NOT NULL, l_partkey integer NOT NULL, l_suppkey integer NOT NULL, \
                 l_linenumber integer NOT NULL, l_quantity numeric(15,2) NOT NULL, \
                 l_extendedprice numeric(15,2) NOT NULL, l_discount numeric(15,2) NOT NULL, \
                 l_tax numeric(15,2) NOT NULL, l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL, \
                 l_shipdate date NOT NULL, l_commitdate date NOT NULL, l_receiptdate date NOT NULL, \
                 l_shipinstruct varchar(25) NOT NULL, l_shipmode varchar(10) NOT NULL, \
                 l_comment varchar(44) NOT NULL, PRIMARY KEY (l_orderkey, l_linenumber)) \
                 DISTRIBUTED BY (l_orderkey)"
            }
        }
    }

    /// About how many rows there are at a scale factor, for progress.
    pub fn rows_about(self, sf: f64) -> u64 {
        (self.rows_per_scale() * sf) as u64
    }

    /// Rows at scale factor 1 (lineitem's is close), for the number of parts.
    pub(super) fn rows_per_scale(self) -> f64 {
        match self {
            // The same at every scale.
            Table::Region | Table::Nation => 0.0,
            Table::Supplier => 10_000.0,
            Table::Customer => 150_000.0,
            Table::Part => 200_000.0,
            Table::Partsupp => 800_000.0,
            Table::Orders => 1_500_000.0,
            Table::Lineitem => 6_000_000.0,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
