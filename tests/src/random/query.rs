//! A query as parts that can be left out one at a time.

use std::fmt::Write;

/// One SELECT, or two with a set operation between.
#[derive(Debug, Clone)]
pub struct Query {
    /// `WITH` items.
    pub ctes: Vec<String>,
    pub select: Select,
    /// `UNION ALL` and such, and the other side.
    pub set_operation: Option<(&'static str, Select)>,
    /// `ASC`, `DESC NULLS LAST`, … of each output column: a total order. None: a multiset.
    pub order: Option<Vec<&'static str>>,
    /// `LIMIT … OFFSET …`; only with an order.
    pub limit: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Select {
    pub distinct: bool,
    pub items: Vec<String>,
    /// `table AS alias`
    pub from: String,
    /// `LEFT JOIN table AS alias ON …`
    pub joins: Vec<String>,
    pub filters: Vec<String>,
    pub group_by: Vec<String>,
    /// Without one, `group_by` is a plain list.
    pub rollup: bool,
    pub having: Option<String>,
}

impl Select {
    fn write(&self, sql: &mut String) {
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let items: Vec<String> = self.items.iter().enumerate().map(|(at, item)| format!("{item} AS o{at}")).collect();
        write!(sql, "SELECT {distinct}{} FROM {}", items.join(", "), self.from).expect("a string");
        for join in &self.joins {
            write!(sql, " {join}").expect("a string");
        }
        if !self.filters.is_empty() {
            write!(sql, " WHERE {}", self.filters.join(" AND ")).expect("a string");
        }
        if !self.group_by.is_empty() {
            let list = self.group_by.join(", ");
            let clause = if self.rollup { format!("ROLLUP ({list})") } else { list };
            write!(sql, " GROUP BY {clause}").expect("a string");
        }
        if let Some(having) = &self.having {
            write!(sql, " HAVING {having}").expect("a string");
        }
    }

    /// Every select with one part less, except its output columns.
    fn reductions(&self) -> Vec<Select> {
        let mut smaller = vec![];
        let mut push = |change: &dyn Fn(&mut Select)| {
            let mut select = self.clone();
            change(&mut select);
            smaller.push(select);
        };
        for at in (0..self.joins.len()).rev() {
            push(&|s| drop(s.joins.remove(at)));
        }
        for at in (0..self.filters.len()).rev() {
            push(&|s| drop(s.filters.remove(at)));
        }
        for at in (0..self.group_by.len()).rev() {
            push(&|s| drop(s.group_by.remove(at)));
        }
        if self.having.is_some() {
            push(&|s| s.having = None);
        }
        if self.distinct {
            push(&|s| s.distinct = false);
        }
        if self.rollup {
            push(&|s| s.rollup = false);
        }
        smaller
    }
}

impl Query {
    pub fn is_ordered(&self) -> bool {
        self.order.is_some()
    }

    pub fn to_sql(&self) -> String {
        let mut sql = String::new();
        if !self.ctes.is_empty() {
            write!(sql, "WITH {} ", self.ctes.join(", ")).expect("a string");
        }
        self.select.write(&mut sql);
        if let Some((operation, other)) = &self.set_operation {
            write!(sql, " {operation} ").expect("a string");
            other.write(&mut sql);
        }
        if let Some(order) = &self.order {
            let keys: Vec<String> = order.iter().enumerate().map(|(at, how)| format!("{} {how}", at + 1)).collect();
            write!(sql, " ORDER BY {}", keys.join(", ")).expect("a string");
        }
        if let Some(limit) = &self.limit {
            write!(sql, " {limit}").expect("a string");
        }
        sql
    }

    /// Every query with one part less. Some are not valid: the reference tells.
    pub fn reductions(&self) -> Vec<Query> {
        let mut smaller = vec![];
        if self.set_operation.is_some() {
            smaller.push(Query { set_operation: None, ..self.clone() });
        }
        if let Some((_, other)) = &self.set_operation {
            smaller.push(Query { select: other.clone(), set_operation: None, ..self.clone() });
        }
        if self.limit.is_some() {
            smaller.push(Query { limit: None, ..self.clone() });
        }
        if self.order.is_some() {
            smaller.push(Query { order: None, limit: None, ..self.clone() });
        }
        for at in 0..self.ctes.len() {
            let mut query = self.clone();
            query.ctes.remove(at);
            smaller.push(query);
        }
        smaller.extend(self.select.reductions().into_iter().map(|select| Query { select, ..self.clone() }));
        if let Some((operation, other)) = &self.set_operation {
            let others = other.reductions().into_iter();
            smaller.extend(others.map(|o| Query { set_operation: Some((operation, o)), ..self.clone() }));
        }
        if self.select.items.len() > 1 {
            for at in (0..self.select.items.len()).rev() {
                let mut query = self.clone();
                query.select.items.remove(at);
                if let Some((_, other)) = &mut query.set_operation {
                    other.items.remove(at);
                }
                if let Some(order) = &mut query.order {
                    order.remove(at);
                }
                smaller.push(query);
            }
        }
        smaller
    }
}
