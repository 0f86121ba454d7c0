//! Generated rows → Arrow batches.

use super::tables::Table;
use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use std::fmt::{Display, Write};
use std::sync::Arc;
use tpchgen::dates::TPCHDate;
use tpchgen::decimal::TPCHDecimal;
use tpchgen::generators::{
    Customer, CustomerGenerator, LineItem, LineItemGenerator, Nation, NationGenerator, Order, OrderGenerator, Part,
    PartGenerator, PartSupp, PartSuppGenerator, Region, RegionGenerator, Supplier, SupplierGenerator,
};

/// Rows of one batch.
const BATCH_ROWS: usize = 8192;

/// Batches of one part of a table.
pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// A column under construction.
trait Column: Default {
    type Value;
    const TYPE: DataType;
    fn push(&mut self, value: Self::Value) -> Result<(), ArrowError>;
    fn finish(self) -> Result<ArrayRef, ArrowError>;
}

/// A key or a count.
#[derive(Default)]
struct Int(Vec<i32>);

impl Column for Int {
    type Value = i64;
    const TYPE: DataType = DataType::Int32;

    fn push(&mut self, value: i64) -> Result<(), ArrowError> {
        // Customers, the most numerous, have integer keys up to scale factor 14,000.
        let value = i32::try_from(value).map_err(|_| ArrowError::ComputeError(format!("key {value} is no integer")))?;
        self.0.push(value);
        Ok(())
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(Int32Array::from(self.0)))
    }
}

#[derive(Default)]
struct BigInt(Vec<i64>);

impl Column for BigInt {
    type Value = i64;
    const TYPE: DataType = DataType::Int64;

    fn push(&mut self, value: i64) -> Result<(), ArrowError> {
        self.0.push(value);
        Ok(())
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(Int64Array::from(self.0)))
    }
}

/// numeric(15,2)
#[derive(Default)]
struct Money(Vec<i128>);

impl Column for Money {
    type Value = TPCHDecimal;
    const TYPE: DataType = DataType::Decimal128(15, 2);

    fn push(&mut self, value: TPCHDecimal) -> Result<(), ArrowError> {
        self.0.push(i128::from(value.into_inner()));
        Ok(())
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(Decimal128Array::from(self.0).with_precision_and_scale(15, 2)?))
    }
}

#[derive(Default)]
struct Date(Vec<i32>);

impl Column for Date {
    type Value = TPCHDate;
    const TYPE: DataType = DataType::Date32;

    fn push(&mut self, value: TPCHDate) -> Result<(), ArrowError> {
        self.0.push(value.to_unix_epoch());
        Ok(())
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(Date32Array::from(self.0)))
    }
}

#[derive(Default)]
struct Text(StringBuilder);

impl Text {
    const TYPE: DataType = DataType::Utf8;

    fn push(&mut self, value: impl Display) -> Result<(), ArrowError> {
        write!(self.0, "{value}").map_err(|e| ArrowError::ComputeError(e.to_string()))?;
        self.0.append_value("");
        Ok(())
    }

    fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.0.finish()))
    }
}

/// A function of (scale factor, part, parts) that generates a table, and its schema: one line a column.
macro_rules! table {
    ($batches:ident, $schema:ident, $generator:ident, $row:ident, { $($name:ident: $column:ident = $value:expr,)* }) => {
        fn $schema() -> SchemaRef {
            Arc::new(Schema::new(vec![$(Field::new(stringify!($name), $column::TYPE, false),)*]))
        }

        fn $batches(sf: f64, part: i32, parts: i32) -> Batches {
            let schema = $schema();
            let mut rows = $generator::new(sf, part, parts).iter();
            Box::new(std::iter::from_fn(move || {
                $(let mut $name = $column::default();)*
                let mut count = 0;
                let fill = || -> Result<RecordBatch, ArrowError> {
                    for $row in rows.by_ref().take(BATCH_ROWS) {
                        $($name.push($value)?;)*
                        count += 1;
                    }
                    RecordBatch::try_new(Arc::clone(&schema), vec![$($name.finish()?,)*])
                };
                let batch = fill();
                (count > 0 || batch.is_err()).then_some(batch)
            }))
        }
    };
}

table!(region, region_schema, RegionGenerator, row, {
    r_regionkey: Int = row.r_regionkey,
    r_name: Text = row.r_name,
    r_comment: Text = row.r_comment,
});

table!(nation, nation_schema, NationGenerator, row, {
    n_nationkey: Int = row.n_nationkey,
    n_name: Text = row.n_name,
    n_regionkey: Int = row.n_regionkey,
    n_comment: Text = row.n_comment,
});

table!(supplier, supplier_schema, SupplierGenerator, row, {
    s_suppkey: Int = row.s_suppkey,
    s_name: Text = row.s_name,
    s_address: Text = row.s_address,
    s_nationkey: Int = row.s_nationkey,
    s_phone: Text = row.s_phone,
    s_acctbal: Money = row.s_acctbal,
    s_comment: Text = row.s_comment,
});

table!(customer, customer_schema, CustomerGenerator, row, {
    c_custkey: Int = row.c_custkey,
    c_name: Text = row.c_name,
    c_address: Text = row.c_address,
    c_nationkey: Int = row.c_nationkey,
    c_phone: Text = row.c_phone,
    c_acctbal: Money = row.c_acctbal,
    c_mktsegment: Text = row.c_mktsegment,
    c_comment: Text = row.c_comment,
});

table!(part, part_schema, PartGenerator, row, {
    p_partkey: Int = row.p_partkey,
    p_name: Text = row.p_name,
    p_mfgr: Text = row.p_mfgr,
    p_brand: Text = row.p_brand,
    p_type: Text = row.p_type,
    p_size: Int = i64::from(row.p_size),
    p_container: Text = row.p_container,
    p_retailprice: Money = row.p_retailprice,
    p_comment: Text = row.p_comment,
});

table!(partsupp, partsupp_schema, PartSuppGenerator, row, {
    ps_partkey: Int = row.ps_partkey,
    ps_suppkey: Int = row.ps_suppkey,
    ps_availqty: Int = i64::from(row.ps_availqty),
    ps_supplycost: Money = row.ps_supplycost,
    ps_comment: Text = row.ps_comment,
});

table!(orders, orders_schema, OrderGenerator, row, {
    o_orderkey: BigInt = row.o_orderkey,
    o_custkey: Int = row.o_custkey,
    o_orderstatus: Text = row.o_orderstatus,
    o_totalprice: Money = row.o_totalprice,
    o_orderdate: Date = row.o_orderdate,
    o_orderpriority: Text = row.o_orderpriority,
    o_clerk: Text = row.o_clerk,
    o_shippriority: Int = i64::from(row.o_shippriority),
    o_comment: Text = row.o_comment,
});

table!(lineitem, lineitem_schema, LineItemGenerator, row, {
    l_orderkey: BigInt = row.l_orderkey,
    l_partkey: Int = row.l_partkey,
    l_suppkey: Int = row.l_suppkey,
    l_linenumber: Int = i64::from(row.l_linenumber),
    // The generator counts whole pieces.
    l_quantity: Money = TPCHDecimal::new(row.l_quantity * 100),
    l_extendedprice: Money = row.l_extendedprice,
    l_discount: Money = row.l_discount,
    l_tax: Money = row.l_tax,
    l_returnflag: Text = row.l_returnflag,
    l_linestatus: Text = row.l_linestatus,
    l_shipdate: Date = row.l_shipdate,
    l_commitdate: Date = row.l_commitdate,
    l_receiptdate: Date = row.l_receiptdate,
    l_shipinstruct: Text = row.l_shipinstruct,
    l_shipmode: Text = row.l_shipmode,
    l_comment: Text = row.l_comment,
});

/// Part `part` of `parts` (counted from 1) of a table's rows.
pub(super) fn batches(table: Table, sf: f64, part: i32, parts: i32) -> Batches {
    match table {
        Table::Region => region(sf, part, parts),
        Table::Nation => nation(sf, part, parts),
        Table::Supplier => supplier(sf, part, parts),
        Table::Customer => customer(sf, part, parts),
        Table::Part => self::part(sf, part, parts),
        Table::Partsupp => partsupp(sf, part, parts),
        Table::Orders => orders(sf, part, parts),
        Table::Lineitem => lineitem(sf, part, parts),
    }
}

/// The columns of a table's batches.
pub(super) fn schema(table: Table) -> SchemaRef {
    match table {
        Table::Region => region_schema(),
        Table::Nation => nation_schema(),
        Table::Supplier => supplier_schema(),
        Table::Customer => customer_schema(),
        Table::Part => part_schema(),
        Table::Partsupp => partsupp_schema(),
        Table::Orders => orders_schema(),
        Table::Lineitem => lineitem_schema(),
    }
}

/// Rows of one part of a table as dbgen prints them: `1|ALGERIA|0|…|`.
pub(super) fn lines(table: Table, sf: f64, part: i32, parts: i32) -> Box<dyn Iterator<Item = Line> + Send> {
    match table {
        Table::Region => Box::new(RegionGenerator::new(sf, part, parts).iter().map(Line::Region)),
        Table::Nation => Box::new(NationGenerator::new(sf, part, parts).iter().map(Line::Nation)),
        Table::Supplier => Box::new(SupplierGenerator::new(sf, part, parts).iter().map(Line::Supplier)),
        Table::Customer => Box::new(CustomerGenerator::new(sf, part, parts).iter().map(Line::Customer)),
        Table::Part => Box::new(PartGenerator::new(sf, part, parts).iter().map(Line::Part)),
        Table::Partsupp => Box::new(PartSuppGenerator::new(sf, part, parts).iter().map(Line::Partsupp)),
        Table::Orders => Box::new(OrderGenerator::new(sf, part, parts).iter().map(Line::Orders)),
        Table::Lineitem => Box::new(LineItemGenerator::new(sf, part, parts).iter().map(Line::Lineitem)),
    }
}

/// One row of any table.
pub(super) enum Line {
    Region(Region<'static>),
    Nation(Nation<'static>),
    Supplier(Supplier),
    Customer(Customer<'static>),
    Part(Part<'static>),
    Partsupp(PartSupp<'static>),
    Orders(Order<'static>),
    Lineitem(LineItem<'static>),
}

impl Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Line::Region(row) => row.fmt(f),
            Line::Nation(row) => row.fmt(f),
            Line::Supplier(row) => row.fmt(f),
            Line::Customer(row) => row.fmt(f),
            Line::Part(row) => row.fmt(f),
            Line::Partsupp(row) => row.fmt(f),
            Line::Orders(row) => row.fmt(f),
            Line::Lineitem(row) => row.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tpch::TABLES;
    use arrow::array::AsArray;
    use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type};

    fn rows(table: Table, parts: i32) -> usize {
        let batches = (1..=parts).flat_map(|part| batches(table, 0.01, part, parts));
        batches.map(|batch| batch.expect("a batch").num_rows()).sum()
    }

    #[test]
    fn every_table_has_its_rows_in_any_number_of_parts() {
        let counts = [5, 25, 100, 1_500, 2_000, 8_000, 15_000, 60_175];
        for (table, count) in TABLES.into_iter().zip(counts) {
            assert_eq!(rows(table, 1), count, "{table}");
            if count > 100 {
                assert_eq!(rows(table, 3), count, "{table} in parts");
            }
        }
    }

    #[test]
    fn the_first_line_is_the_specifications() {
        let batch = batches(Table::Lineitem, 1.0, 1, 1).next().expect("rows").expect("a batch");
        assert_eq!(batch.schema(), schema(Table::Lineitem));
        let money = |i: usize| batch.column(i).as_primitive::<Decimal128Type>().value(0);
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), 1);
        assert_eq!([money(4), money(5), money(6), money(7)], [1_700, 2_116_823, 4, 2]);
        // 1996-03-13
        assert_eq!(batch.column(10).as_primitive::<Date32Type>().value(0), 9_568);
        assert_eq!(batch.column(15).as_string::<i32>().value(0), "egular courts above the");
        let line = lines(Table::Lineitem, 1.0, 1, 1).next().expect("rows").to_string();
        assert!(line.starts_with("1|155190|7706|1|17|21168.23|0.04|0.02|N|O|1996-03-13|"), "{line}");
    }

    #[test]
    fn definitions_have_the_columns_that_are_generated() {
        for table in TABLES {
            let definition = table.definition();
            let columns = definition.split_once('(').expect("columns").1;
            let mut from = 0;
            for field in schema(table).fields() {
                let at = columns[from..].find(&format!("{} ", field.name()));
                from += at.unwrap_or_else(|| panic!("{table} lacks {} in its place", field.name()));
            }
            assert_eq!(definition.matches(" NOT NULL").count(), schema(table).fields().len(), "{table}");
        }
    }
}
